"""Every shipped workflow runs on a real engine, and its pictures are what it says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_thread import EngineThread, folders_below
from PIL import Image

from engine.command.graph_file import load_graph
from engine.command.provision import provision
from engine.core.settings import Settings
from engine.server.records import SUCCEEDED, JobRecord, JobRequest
from tests.template_models import write_template_models

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
MAX_SIZE_PX = 256


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineThread]:
    folders = folders_below(tmp_path_factory.mktemp("base"))
    provision(folders)
    write_template_models(folders.models["checkpoints"].paths[0].parent)
    with EngineThread(Settings(folders)) as thread:
        yield thread


def run(thread: EngineThread, path: Path) -> JobRecord:
    """The workflow in two or three steps, and no larger than the starter paints."""
    prompt = load_graph(path, thread.engine.services.catalog.current).prompt
    for node in prompt.values():
        inputs = node["inputs"]
        if node["class_type"] == "KSampler":
            inputs["steps"] = 3
        elif node["class_type"] == "KSamplerAdvanced":
            places = {0: 0, 20: 1, 10000: 10000}
            inputs |= {"steps": 2, **{key: places[inputs[key]] for key in ("start_at_step", "end_at_step")}}
        elif node["class_type"] == "EmptyLatentImage":
            inputs |= {key: min(inputs[key], MAX_SIZE_PX) for key in ("width", "height")}
        elif node["class_type"] == "ImageScaleBy":
            inputs["scale_by"] = min(inputs["scale_by"], 1.25)

    async def submit_and_wait(engine):
        submission = await engine.submit(JobRequest(prompt))
        assert submission.complaints == ()
        return await engine.wait(submission.job.id, with_documents=True)

    return thread.call(submit_and_wait)


def pictures(thread: EngineThread, job: JobRecord) -> list[Path]:
    folders = thread.engine.services.settings.folders
    return [
        folders.root(entry["type"]) / entry["subfolder"] / entry["filename"]
        for ui in job.outputs.values()
        for entry in ui.get("images", [])
    ]


def test_there_are_at_least_six_workflows_without_a_model() -> None:
    without = [path for path in WORKFLOWS if "CheckpointLoader" not in path.read_text()]
    assert len(without) >= 6


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_shipped_workflow_runs_and_shows_something(running: EngineThread, path: Path) -> None:
    job = run(running, path)
    assert job.state == SUCCEEDED, job.error
    assert job.outputs
    for picture in pictures(running, job):
        with Image.open(picture) as image:
            image.load()
            assert min(image.size) >= 16
            if picture.suffix == ".png" and not getattr(image, "is_animated", False):
                assert set(json.loads(image.text["prompt"])) == set(job.prompt)
                if path.stem == "text_to_image":
                    assert re.search(r"\nSteps: 3, .*, Model hash: [0-9a-f]{10}, Model: ", image.text["parameters"])


def test_a_second_run_of_a_workflow_is_served_from_the_cache(running: EngineThread) -> None:
    path = next(path for path in WORKFLOWS if "CheckpointLoader" not in path.read_text())
    first, second = run(running, path), run(running, path)
    assert first.state == second.state == SUCCEEDED
    assert second.ran == ()
    assert second.outputs == first.outputs


def test_a_picture_carries_the_graph_that_made_it(running: EngineThread, tmp_path: Path) -> None:
    path = next(path for path in WORKFLOWS if "SaveImage" in path.read_text())
    picture = next(item for item in pictures(running, run(running, path)) if item.suffix == ".png")
    copy = tmp_path / "shared.png"
    shutil.copy(picture, copy)
    again = run(running, copy)
    assert again.state == SUCCEEDED
    assert again.ran == ()
