"""Full-size synthesized files against diffusers, open_clip and transformers, and the page that says how far they agree.

Half-precision files of 2 to 7 GB are made one after the other in pytest's cache folder; a part of a model takes a
minute. `-m thorough` measures, and writes the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.families.facts import FileFacts
from tests.parity.full_size_agreement import FULL_SIZE, autoencoder_error, network_error, text_error
from tests.parity.full_size_files import full_size_folder, half_precision_checkpoint
from tests.tiny_families import DERIVED, layout, layout_file
from tests.tiny_sd1 import host_with, store_on

PAGE = Path(__file__).resolve().parents[2] / "docs" / "model-agreement.md"
TOLERANCE = 1e-4
KEPT = "sd15"
"""A file that other tests use as well."""
MEASURES = {"network": network_error, "text encoder": text_error, "autoencoder": autoencoder_error}
ALSO = {
    "sd15": "1.1 to 1.5 and their fine-tunes",
    **{name: f"derived: `{base}` with {channels} channels" for name, (base, channels) in DERIVED.items()},
    "sd21-768-v": "2.0 and 2.1, base (noise) and 768 (v)",
    "sdxl-base-1.0": "0.9, v-prediction with a zero terminal signal",
    "sdxl-refiner-1.0": "0.9",
}
"""Layout → what else has the same keys and shapes, or what it was derived from."""


def rows() -> dict[str, list[str]]:
    """The page's table: layout → cells."""
    lines = re.findall(r"^\| `([^`]+)` \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in lines}


def write_row(name: str, cells: list[str]) -> None:
    """Put a row in the place of the one the page has."""
    line = f"| `{name}` | {' | '.join(cells)} |"
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(rf"^\| `{re.escape(name)}` \|.*\|$", line, text, flags=re.MULTILINE), encoding="utf-8")


def facts(path: Path) -> FileFacts:
    return store_on(host_with()).describe(path)


@pytest.fixture(scope="module", params=FULL_SIZE)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def path(name: str, pytestconfig: pytest.Config) -> Iterator[Path]:
    found = half_precision_checkpoint(full_size_folder(pytestconfig), name)
    yield found
    if name != KEPT:
        found.unlink()


def test_the_page_has_a_row_for_every_file() -> None:
    assert list(rows()) == list(FULL_SIZE)


def test_a_file_is_what_the_page_says_with_no_key_unexplained(name: str, tmp_path: Path) -> None:
    found = facts(layout_file(name, tmp_path))
    (tmp_path / f"{name}.safetensors").unlink()
    assert found.problem is None
    assert rows()[name][:3] == [ALSO.get(name, ""), found.description, f"{len(layout(name))} of {len(layout(name))}"]


def test_the_page_says_that_every_part_agrees(name: str) -> None:
    assert all(float(cell) < TOLERANCE for cell in rows()[name][3:])


@pytest.mark.thorough
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", MEASURES)
def test_a_part_of_a_full_size_file_computes_what_the_others_compute(name: str, path: Path, part: str) -> None:
    error = MEASURES[part](name, path)
    found = facts(path)
    num_keys = len(layout(name))
    explained = num_keys - len(found.unexplained)
    cells = [ALSO.get(name, ""), found.description, f"{explained} of {num_keys}", *rows()[name][3:]]
    cells[3 + list(MEASURES).index(part)] = f"{error:.1e}" if error else "0"
    write_row(name, cells)
    assert error < TOLERANCE
