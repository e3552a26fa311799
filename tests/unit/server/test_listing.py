"""What files an input offers."""

from __future__ import annotations

import pytest

from engine.graph.schema import FOLDERS, FileChoices
from engine.server.listing import FileLister
from tests.server_harness import settings_in


@pytest.fixture
def lister(tmp_path):
    folders = settings_in(tmp_path).folders
    for name in ("b.png", "a.webp", "c.mp4", "d.wav", "e.flac", "f.latent", ".hidden.png", "g.txt", "h.avif"):
        (folders.input / name).write_bytes(b"x")
    (folders.input / "folder.png").mkdir()
    models = tmp_path / "models" / "checkpoints" / "sub"
    models.mkdir(parents=True)
    (models / "m.safetensors").write_bytes(b"x")
    (models / "notes.txt").write_bytes(b"x")
    return FileLister(folders)


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        (FileChoices("input", "image"), ["a.webp", "b.png", "h.avif"]),
        (FileChoices("input", "video"), ["c.mp4"]),
        (FileChoices("input", "audio"), ["d.wav", "e.flac"]),
        (FileChoices("input", "*.latent"), ["f.latent"]),
        (FileChoices("input", FOLDERS), ["folder.png"]),
        (FileChoices("checkpoints"), ["sub/m.safetensors"]),
        (FileChoices("loras", also=("none",)), ["none"]),
        (FileChoices("no such folder"), []),
        (FileChoices("temp"), []),
    ],
)
def test_files_are_listed_by_folder_and_kind(lister, choices, names):
    assert lister(choices) == names


def test_listings_are_fresh_and_remembered_only_within_a_request(lister, tmp_path):
    once = lister.remembering()
    before = once(FileChoices("input", "*.latent"))
    (tmp_path / "input" / "new.latent").write_bytes(b"x")
    assert once(FileChoices("input", "*.latent")) == before
    assert lister(FileChoices("input", "*.latent")) == [*before, "new.latent"]


def test_existence_is_asked_within_the_folder(lister, tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    assert lister.exists("input", "b.png")
    assert not lister.exists("input", "../secret")
    assert not lister.exists("input", "folder.png")
    assert not lister.exists("nowhere", "b.png")
