"""A submit that lacks a weight file is answered with what its workflow says of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.server.catalog import CatalogHolder
from engine.server.failures import GraphRefused
from engine.server.records import JobRequest
from engine.server.submission import Submitter
from tests.reference_catalog import reference_catalog
from tests.server_harness import settings_in
from tests.unit.server.store_fixtures import opened

NAME = "sd_xl_base_1.0.safetensors"
URL = f"https://example.org/{NAME}"
WORKFLOW = {
    "nodes": [{"properties": {"models": [{"name": NAME, "directory": "checkpoints", "url": URL, "license": "RAIL"}]}}]
}
PROMPT = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": NAME}},
    "2": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
    "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "4": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
}


async def refusal(folder: Path, extra: dict[str, Any]) -> GraphRefused:
    catalog = CatalogHolder(settings_in(folder).folders)
    catalog.current = reference_catalog()
    async with opened(folder) as store:
        submitter = Submitter(store, catalog, None, None)  # type: ignore[arg-type]
        with pytest.raises(GraphRefused) as caught:
            await submitter.submit(JobRequest(PROMPT, extra=extra))
    return caught.value


async def test_the_remedy_has_the_folder_the_address_and_the_licence(tmp_path: Path) -> None:
    (found,) = (await refusal(tmp_path, {"extra_pnginfo": {"workflow": WORKFLOW}})).complaints
    assert found.got == NAME
    assert all(part in found.remedy for part in ("'checkpoints'", URL, "RAIL"))


@pytest.mark.parametrize("extra", [{}, {"extra_pnginfo": None}, {"extra_pnginfo": {"workflow": "x"}}])
async def test_without_a_workflow_the_remedy_has_the_folder(extra: dict[str, Any], tmp_path: Path) -> None:
    (found,) = (await refusal(tmp_path, extra)).complaints
    assert found.remedy == "Put the file into the folder 'checkpoints'."
