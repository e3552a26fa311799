"""Model folders and annotated names."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.errors import ContainmentError, NotFoundError
from engine.core.folders import Folders, default_model_folders, split_annotation


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    base = tmp_path / "base"
    output = base / "output"
    models = default_model_folders(base / "models", output, (base / "custom_nodes",))
    for kind in ("checkpoints/sub", "diffusers/pipe/unet", "unet", "diffusion_models"):
        (base / "models" / kind).mkdir(parents=True)
    return Folders(base, base / "input", output, base / "temp", base / "user", (base / "custom_nodes",), models)


def test_names_are_relative_sorted_and_only_of_known_extensions(folders: Folders) -> None:
    root = folders.base / "models/checkpoints"
    for name in ("b.safetensors", "a.ckpt", "sub/c.SAFETENSORS", "readme.txt", ".hidden.safetensors"):
        (root / name).write_text("")
    assert folders.model_names("checkpoints") == ["a.ckpt", "b.safetensors", "sub/c.SAFETENSORS"]


def test_a_diffusers_pipeline_is_a_folder_with_an_index(folders: Folders) -> None:
    (folders.base / "models/diffusers/pipe/model_index.json").write_text("{}")
    assert folders.model_names("diffusers") == ["pipe"]


def test_the_first_search_folder_with_the_file_wins(folders: Folders) -> None:
    for kind in ("unet", "diffusion_models"):
        (folders.base / "models" / kind / "x.safetensors").write_text(kind)
    assert folders.model_path("diffusion_models", "x.safetensors").read_text() == "unet"


def test_a_missing_file_is_refused_with_the_folders_searched(folders: Folders) -> None:
    with pytest.raises(NotFoundError) as caught:
        folders.model_path("checkpoints", "none.safetensors")
    assert str(folders.base / "models/checkpoints") in caught.value.hint


def test_an_unknown_kind_is_refused_with_the_known_ones(folders: Folders) -> None:
    with pytest.raises(NotFoundError) as caught:
        folders.model_names("nothing")
    assert "checkpoints" in caught.value.hint


def test_a_link_the_owner_placed_may_lead_to_another_disk(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.safetensors").write_text("far")
    (folders.base / "models/checkpoints/link.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    assert folders.model_path("checkpoints", "link.safetensors").read_text() == "far"


def test_text_that_leaves_the_model_folder_is_refused(folders: Folders) -> None:
    with pytest.raises(ContainmentError):
        folders.model_path("checkpoints", "../../secret.safetensors")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", ("a.png", "input")),
        ("a.png [output]", ("a.png", "output")),
        ("sub/a b.png [temp]", ("sub/a b.png", "temp")),
        ("a.png [other]", ("a.png [other]", "input")),
    ],
)
def test_an_annotation_names_the_folder(name: str, expected: tuple[str, str]) -> None:
    assert split_annotation(name) == expected
