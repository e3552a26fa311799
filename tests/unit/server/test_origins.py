"""Where files come from: read out of what ran, kept with the files, and asked for."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from engine.protocol.messages import OutputsStaged, StagedFile
from engine.server.assets import AssetStore
from engine.server.change import Change
from engine.server.origins import OriginNames, Wanted, drop_unused, note_origin, origin_of
from engine.server.outputs import OutputPlacer
from engine.server.tables import ASSETS, ORIGIN_MODELS, ORIGINS
from tests.reference_catalog import reference_catalog
from tests.server_harness import settings_in
from tests.unit.server.store_fixtures import new_job, opened


def prompt(text: str, model: str) -> dict:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["1", 1]}},
        "3": {"class_type": "LoadImage", "inputs": {"image": "cat.png"}},
        "4": {"class_type": "KSampler", "inputs": {"sampler_name": "euler", "seed": 7, "model": ["1", 0]}},
        "5": {"class_type": "SaveImage", "inputs": {"filename_prefix": "secret", "images": ["4", 0]}},
        "6": {"class_type": "NobodyKnowsThis", "inputs": {"text": "hidden", "ckpt_name": "hidden.safetensors"}},
    }


def test_an_origin_is_the_name_the_weights_and_the_prompts_and_nothing_else_that_is_text():
    origin = origin_of(
        prompt("A BOAT\0 on\ud800 Ä", "sd/one.safetensors"), {"workflow_name": "Boats"}, reference_catalog()
    )
    assert (origin.workflow, origin.models) == ("Boats", ("sd/one.safetensors",))
    assert origin.words == "a boat  on? ä"


@pytest.mark.parametrize("extra", [{}, {"workflow_name": 7}, {"workflow_name": None}])
def test_a_job_without_a_name_has_an_origin_without_one(extra):
    assert origin_of({}, extra, reference_catalog()).workflow == ""


async def made(store, placer: OutputPlacer, job: str, text: str, model: str, name: str) -> None:
    """Put a job and its only file into the store."""
    new = new_job(store, job, prompt=prompt(text, model), extra={"workflow_name": name})
    await store.submit(new)
    staged = f"{job.encode().hex() * 16}.png"
    (placer.staging / staged).write_bytes(job.encode())
    message = OutputsStaged(job, 1, "5", [StagedFile(staged, 3, "image/png", "output", f"file-{job}", "png", 0)])

    def place(change: Change) -> None:
        placer.mark(change, placer.name(change, message))
        note_origin(change, job, reference_catalog())
        note_origin(change, job, reference_catalog())

    await store.change(place)


async def test_files_are_found_by_workflow_weights_and_words_while_they_are_listed(tmp_path):
    folders = settings_in(tmp_path).folders
    placer = OutputPlacer(folders)
    placer.staging.mkdir(parents=True)
    async with opened(tmp_path) as store:
        assets = AssetStore(store, folders)
        await made(store, placer, "one", "A red boat", "a.safetensors", "Boats")
        await made(store, placer, "two", "a green BOAT, 100%", "b.safetensors", "Boats")
        await made(store, placer, "three", "Ёлка", "b.safetensors", "")
        assert await assets.origins() == OriginNames(("Boats",), ("a.safetensors", "b.safetensors"))

        async def found(**wanted) -> set[str]:
            return {item.job for item in await assets.list(wanted=Wanted(**wanted))}

        assert await found() == {"one", "two", "three"}
        assert await found(workflow="Boats") == {"one", "two"}
        assert await found(model="b.safetensors") == {"two", "three"}
        assert await found(workflow="Boats", model="b.safetensors", text="boat") == {"two"}
        assert await found(text="boat RED") == {"one"}
        assert await found(text="ёл") == {"three"}
        assert await found(text="FILE-TWO boat") == {"two"}
        assert await found(text="100%") == {"two"}
        assert await found(text="%") == {"two"}
        assert await found(text="_ed") == set()
        assert await found(workflow="boats' OR 1=1 --") == set()

        await store.change(lambda change: change.connection.execute(sa.delete(ASSETS).where(ASSETS.c.job == "one")))
        await store.change(drop_unused)
        left = sa.select(ORIGINS.c.job).union(sa.select(ORIGIN_MODELS.c.job))
        assert set(await store.read(lambda connection: connection.execute(left).scalars().all())) == {"two", "three"}
