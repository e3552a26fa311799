"""What a first start puts into an installation."""

from __future__ import annotations

from pathlib import Path

from engine_thread import folders_below

from engine.command.provision import STARTER_CHECKPOINT, provision


def test_an_installation_without_a_checkpoint_gets_the_starter(tmp_path: Path) -> None:
    folders = folders_below(tmp_path)
    provision(folders)
    assert folders.model_names("checkpoints") == [STARTER_CHECKPOINT]
    shipped = Path(__file__).parents[3] / "models" / "checkpoints" / STARTER_CHECKPOINT
    assert folders.model_path("checkpoints", STARTER_CHECKPOINT).read_bytes() == shipped.read_bytes()
    provision(folders)
    assert folders.model_names("checkpoints") == [STARTER_CHECKPOINT]


def test_an_installation_with_a_checkpoint_of_its_own_gets_nothing(tmp_path: Path) -> None:
    folders = folders_below(tmp_path)
    own = folders.models["checkpoints"].paths[0] / "own.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    provision(folders)
    assert folders.model_names("checkpoints") == ["own.safetensors"]
