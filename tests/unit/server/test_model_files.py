"""Model files with the pictures that lie beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from engine.core.errors import ContainmentError, NotFoundError
from engine.server.model_files import ModelFiles
from tests.server_harness import running, settings_in


def _write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")


def test_a_file_has_the_picture_of_its_own_name_and_no_other(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    _write(tmp_path / "models" / "checkpoints", "a.safetensors", "a.preview.png", "sub/b.ckpt", "b.png")
    files = ModelFiles(settings.folders)
    assert {file.name: file.has_picture for file in files.list("checkpoints")} == {
        "a.safetensors": True,
        "sub/b.ckpt": False,
    }
    assert files.picture("checkpoints", "a.safetensors").name == "a.preview.png"
    with pytest.raises(NotFoundError, match="no picture of"):
        files.picture("checkpoints", "sub/b.ckpt")
    with pytest.raises(ContainmentError):
        files.picture("checkpoints", "../../user/x.safetensors")


async def test_pictures_of_the_working_folders_are_sent_small_and_nothing_else_is(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (tmp_path / "input" / "sub").mkdir()
    Image.new("RGB", (900, 300), "red").save(tmp_path / "input" / "sub" / "a b.png")
    (tmp_path / "input" / "notes.txt").write_text("no picture")
    (tmp_path / "user" / "secret.png").write_bytes(b"x")
    async with running(settings) as server:
        places = ("input/sub%2Fa%20b.png", "input/notes.txt", "input/none.png", "user/secret.png")
        replies = [
            await server.session.get(f"{server.url}/api/v1/folders/{place}/thumbnail?size=64") for place in places
        ]
        outside = await server.session.get(f"{server.url}/api/v1/folders/input/..%2Fuser%2Fsecret.png/thumbnail")
        data = await replies[0].read()
    assert ([reply.status for reply in replies], data[8:12]) == ([200, 422, 404, 400], b"WEBP")
    assert outside.status in (400, 403, 404)


async def test_pictures_of_models_are_sent_small_and_only_as_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "loras"
    _write(folder, "sub/a.safetensors", "b.safetensors", "b.png")
    Image.new("RGB", (900, 300), "red").save(folder / "sub" / "a.png")
    async with running(settings_in(tmp_path)) as server:
        address = f"{server.url}/api/v1/models/loras/sub%2Fa.safetensors/picture?size=128"
        async with server.session.get(address) as reply:
            assert (reply.status, reply.content_type) == (200, "image/webp")
            data = await reply.read()
        refused = await server.session.get(f"{server.url}/api/v1/models/loras/b.safetensors/picture")
        missing = await server.session.get(f"{server.url}/api/v1/models/loras/c.safetensors/picture")
    assert data[8:12] == b"WEBP"
    assert len(data) < 2000
    assert (refused.status, missing.status) == (422, 404)
