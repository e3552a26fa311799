"""Files too large for memory: written by a function into the staging folder, and committed once."""

from __future__ import annotations

import json

import torch
from safetensors import safe_open

from engine.api import Context, String, node
from engine.protocol.messages import OutputsStaged
from nodes.loaders import load_checkpoint
from nodes.merge import merge_models
from nodes.model_files import save_checkpoint
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)


@node("Write", output=True)
def write(text: String, ctx: Context) -> None:
    """Save a text by way of a function that writes it."""

    def put(path):
        path.write_text(text)
        if text == "broken":
            raise RuntimeError("the writer gave up")

    ctx.save_file(put, prefix="written", extension="txt", media_type="text/plain", ui_key="files")


def test_a_file_written_by_a_function_is_placed_as_any_other(bench_of):
    bench = bench_of(write)
    done = bench.run({"1": {"class_type": "Write", "inputs": {"text": "hello"}}})
    assert done.outputs["1"]["files"] == [{"filename": "written_00001_.txt", "subfolder": "", "type": "output"}]
    (staged,) = (message for message in bench.messages if isinstance(message, OutputsStaged))
    assert (bench.folders.data / "staging" / staged.files[0].staged).read_text() == "hello"
    assert staged.files[0].size_bytes == 5


def test_a_writer_that_fails_fails_its_node_and_leaves_nothing(bench_of):
    bench = bench_of(write)
    done = bench.run({"1": {"class_type": "Write", "inputs": {"text": "broken"}}})
    assert (done.outcome, "the writer gave up" in done.error["message"]) == ("failed", True)
    assert list((bench.folders.data / "staging").iterdir()) == []


def test_a_graph_saves_a_merged_checkpoint_once_with_itself_inside(bench_of):
    bench = bench_of(load_checkpoint, merge_models, save_checkpoint)
    bench.models = store_on(host_with())
    shallow_checkpoint(bench.folders.base / "models" / "checkpoints")
    prompt = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "shallow.safetensors"}},
        "2": {"class_type": "ModelMergeSimple", "inputs": {"model1": ["1", 0], "model2": ["1", 0], "ratio": 0.5}},
        "3": {
            "class_type": "CheckpointSave",
            "inputs": {"model": ["2", 0], "clip": ["1", 1], "vae": ["1", 2], "filename_prefix": "mine"},
        },
    }
    done = bench.run(prompt, extra={"extra_pnginfo": {"workflow": {"nodes": []}}})
    assert done.outputs["3"]["checkpoints"][0]["filename"] == "mine_00001_.safetensors"
    (staged,) = (message for message in bench.messages if isinstance(message, OutputsStaged))
    (file,) = staged.files
    path = bench.folders.data / "staging" / file.staged
    assert path.stat().st_size == file.size_bytes
    with safe_open(path, "pt") as saved:
        assert json.loads(saved.metadata()["prompt"])["3"]["class_type"] == "CheckpointSave"
        assert saved.get_tensor("model.diffusion_model.out.2.weight").shape == (4, 32, 3, 3)
