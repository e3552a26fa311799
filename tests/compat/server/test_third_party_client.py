"""The unmodified client package comfy-api-simplified from PyPI, against a real server with its real worker."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.core.folders import Folders

from .conftest import ServerThread

with warnings.catch_warnings():
    # The package's own dependencies warn at import; that is not ours to judge.
    warnings.simplefilter("ignore")
    api = pytest.importorskip("comfy_api_simplified")

WORKFLOW: dict[str, Any] = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 24, "height": 16, "batch_size": 1, "color": 0xFF0000},
        "_meta": {"title": "Canvas"},
    },
    "2": {"class_type": "PrimitiveString", "inputs": {"value": "third"}, "_meta": {"title": "Name"}},
    "3": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": ["2", 0]},
        "_meta": {"title": "Saver"},
    },
}


@pytest.fixture
def third_party(server: ServerThread) -> Any:
    return api.ComfyApiWrapper(server.address)


def test_it_runs_a_workflow_and_gets_the_picture(third_party: Any) -> None:
    workflow = api.ComfyWorkflowWrapper(WORKFLOW)
    workflow.set_node_param("Canvas", "width", 40)
    workflow.set_node_param("Canvas", "color", 0x00FF00)
    images = third_party.queue_and_wait_images(workflow, "Saver")
    ((name, data),) = images.items()
    assert name.startswith("third_")
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (40, 16)
        assert picture.getpixel((3, 3)) == (0, 255, 0)


async def test_it_waits_for_a_prompt_and_reads_its_history_and_outputs(third_party: Any) -> None:
    workflow = api.ComfyWorkflowWrapper(WORKFLOW)
    workflow.set_node_param("Canvas", "color", 0x0000FF)
    prompt_id, frames = await third_party.queue_prompt_and_wait(dict(workflow))
    assert frames == []
    entry = third_party.get_history(prompt_id)[prompt_id]
    assert entry["status"]["completed"]
    image = entry["outputs"]["3"]["images"][0]
    data = third_party.get_image(image["filename"], image["subfolder"], image["type"])
    assert data.startswith(b"\x89PNG")


def test_it_uploads_and_uses_an_image(third_party: Any, tmp_path: Path, folders: Folders) -> None:
    Image.new("RGB", (10, 12), (9, 8, 7)).save(tmp_path / "given.png")
    uploaded = third_party.upload_image(tmp_path / "given.png")
    assert (folders.input / uploaded["subfolder"] / uploaded["name"]).is_file()
    workflow = api.ComfyWorkflowWrapper(
        {
            "1": {
                "class_type": "LoadImage",
                "inputs": {"image": f"{uploaded['subfolder']}/{uploaded['name']}"},
                "_meta": {"title": "Load"},
            },
            "2": {
                "class_type": "SaveImage",
                "inputs": {"images": ["1", 0], "filename_prefix": "given"},
                "_meta": {"title": "Saver"},
            },
        }
    )
    ((_, data),) = third_party.queue_and_wait_images(workflow, "Saver").items()
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.size, picture.getpixel((0, 0))) == ((10, 12), (9, 8, 7))


def test_it_reads_the_queue_the_catalog_and_the_machine(third_party: Any) -> None:
    assert set(third_party.get_queue()) == {"queue_running", "queue_pending"}
    assert "SaveImage" in third_party.get_object_info()
    assert list(third_party.get_object_info("SaveImage")) == ["SaveImage"]
    assert third_party.get_system_stats()["system"]["comfyui_version"] == "0.3.64"
    assert isinstance(third_party.get_embeddings(), list)


def test_a_refused_workflow_is_an_error_of_the_client(third_party: Any) -> None:
    workflow = api.ComfyWorkflowWrapper(WORKFLOW)
    workflow.set_node_param("Canvas", "width", 0)
    with pytest.raises(api.ComfyApiError, match="400"):
        third_party.queue_and_wait_images(workflow, "Saver")
