from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.core.folders import Folders

from .conftest import Client, picture


def save(kind: str, prefix: str, **inputs: Any) -> dict[str, Any]:
    node = {"class_type": kind, "inputs": {"images": ["1", 0], "filename_prefix": prefix, **inputs}}
    return {"1": picture(color=77), "2": node}


def look(prefix: str, **inputs: Any) -> dict[str, Any]:
    return save("SampleSaveAndLook", prefix, **{"crash_once": "", **inputs})


def names(folders: Folders, prefix: str) -> list[str]:
    return sorted(path.relative_to(folders.output).as_posix() for path in folders.output.rglob(f"*{prefix}*"))


async def test_a_derived_saver_can_read_its_files_before_its_function_ends(client: Client, folders: Folders) -> None:
    entry = await client.run(look("look"))
    outputs = entry["outputs"]["2"]
    assert outputs["pictures"] == [
        {"filename": "look_00001_.png", "subfolder": "", "type": "output"},
        {"filename": "look_00001_.png", "subfolder": "sub", "type": "output"},
    ]
    assert all(size > 0 for size in outputs["sizes"])
    assert "images" not in outputs
    assert names(folders, "look") == ["look_00001_.png", "sub/look_00001_.png"]
    assert (await client.get("/view", params=outputs["pictures"][1])).startswith(b"\x89PNG")


async def test_its_files_are_assets_of_the_job(client: Client) -> None:
    reply = await client.queue(look("asset"))
    await client.finished(reply["prompt_id"])
    found = await client.get(f"/api/v1/assets?job={reply['prompt_id']}")
    places = [(item["node"], item["subfolder"], item["filename"]) for item in found]
    assert sorted(places) == [("2", "", "asset_00001_.png"), ("2", "sub", "asset_00001_.png")]


async def test_a_worker_that_dies_after_saving_leaves_every_file_once(
    client: Client, folders: Folders, tmp_path: Path
) -> None:
    entry = await client.run(look("crash", crash_once=str(tmp_path / "crashed")))
    assert (tmp_path / "crashed").exists()
    assert entry["status"]["status_str"] == "success"
    assert names(folders, "crash") == ["crash_00001_.png", "sub/crash_00001_.png"]


async def test_a_node_that_fails_after_saving_keeps_its_files(client: Client, folders: Folders) -> None:
    entry = await client.run(look("failed", fail=True))
    assert entry["status"]["status_str"] == "error"
    assert names(folders, "failed") == ["failed_00001_.png", "sub/failed_00001_.png"]


async def test_folders_of_the_packs_own_choice_and_coroutines_are_written_directly(
    client: Client, folders: Folders
) -> None:
    entry = await client.run(save("SampleSaveElsewhere", "elsewhere"))
    assert entry["outputs"]["2"]["images"] == [{"filename": "elsewhere_00001_.png", "subfolder": "", "type": "input"}]
    assert (folders.input / "elsewhere_00001_.png").exists()
    entry = await client.run(save("SampleSaveLater", "later"))
    assert entry["outputs"]["2"]["images"] == [{"filename": "later_00001_.png", "subfolder": "", "type": "output"}]
    assert names(folders, "later") == ["later_00001_.png"]
