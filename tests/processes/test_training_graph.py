"""A graph that trains a LoRA, saves it, draws its loss and paints with it, on a real engine."""

from __future__ import annotations

import pytest
from engine_thread import EngineThread, folders_below
from PIL import Image
from tiny_sd1 import shallow_checkpoint

from engine.core.folders import Folders
from engine.core.settings import Settings
from engine.server.records import CANCELLED, SUCCEEDED, JobRequest
from engine.weights.checkpoint import open_checkpoint


def node(kind: str, **inputs: object) -> dict[str, object]:
    return {"class_type": kind, "inputs": inputs}


def graph(steps: int) -> dict[str, dict[str, object]]:
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="shallow.safetensors"),
        "2": node("LoadImageTextSetFromFolderNode", folder="set", clip=["1", 1]),
        "3": node("VAEEncode", pixels=["2", 0], vae=["1", 2]),
        "4": node(
            "TrainLoraNode", model=["1", 0], latents=["3", 0], positive=["2", 1], batch_size=2,
            grad_accumulation_steps=1, steps=steps, learning_rate=0.001, rank=2, optimizer="AdamW", loss_function="MSE",
            seed=1, training_dtype="bf16", lora_dtype="bf16", algorithm="LoRA", gradient_checkpointing=True,
            existing_lora="[None]",
        ),
        "5": node("SaveLoRANode", lora=["4", 1], prefix="loras/mine", steps=["4", 3]),
        "6": node("LossGraphNode", loss=["4", 2], filename_prefix="loss"),
        "7": node("LoraModelLoader", model=["1", 0], lora=["4", 1], strength_model=0.5),
        "8": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "9": node(
            "KSampler", model=["7", 0], positive=["2", 1], negative=["2", 1], latent_image=["8", 0], seed=1, steps=2,
            cfg=1.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "10": node("VAEDecode", samples=["9", 0], vae=["1", 2]),
        "11": node("SaveImage", images=["10", 0], filename_prefix="painted"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    folders = folders_below(tmp_path_factory.mktemp("base"))
    checkpoints = folders.models["checkpoints"].paths[0]
    checkpoints.mkdir(parents=True)
    shallow_checkpoint(checkpoints)
    pictures = folders.input / "set"
    pictures.mkdir()
    for number in range(2):
        Image.new("RGB", (64, 64), (100 * number, 80, 160)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text("a fox")
    return folders


@pytest.fixture(scope="module")
def running(folders):
    with EngineThread(Settings(folders)) as thread:
        yield thread


def test_a_lora_is_trained_saved_drawn_and_painted_with_in_one_graph(running: EngineThread, folders: Folders) -> None:
    async def run(engine):
        submission = await engine.submit(JobRequest(graph(steps=3)))
        assert submission.complaints == ()
        return await engine.wait(submission.job.id, with_documents=True)

    job = running.call(run)
    assert job.state == SUCCEEDED, job.error
    with open_checkpoint(folders.output / "loras" / "mine_3_steps_00001_.safetensors") as lora:
        assert lora.metadata["ss_steps"] == "3"
        assert all(key.startswith("lora_unet_") for key in lora.tensors)
    assert sorted(path.name for path in folders.output.glob("*.png")) == ["loss_00001_.png", "painted_00001_.png"]


def test_a_training_is_cancelled_between_its_steps(running: EngineThread) -> None:
    async def run(engine):
        with engine.subscribe(lambda item: getattr(item, "kind", "") == "node_progress") as progress:
            submission = await engine.submit(JobRequest(graph(steps=100000)))
            while (step := (await progress.get()).data)["node"] != "4" or step["value"] < 2:
                pass
        await engine.cancel(submission.job.id)
        return await engine.wait(submission.job.id, with_documents=True)

    assert running.call(run).state == CANCELLED
