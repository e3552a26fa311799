"""What a job tells of its memory, on the real nodes: what was loaded, what an edit loads again, what did not fit."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from engine.core.settings import MemorySettings, Settings
from engine.families.model_store import model_store_from_settings
from tests.built_in_nodes import built_in_nodes
from tests.tiny_sd1 import tiny_checkpoint

BUDGET = 96 << 20
PROMPT: dict[str, dict[str, Any]] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "tiny.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0],
            "seed": 1, "steps": 1, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        },
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "first"}},
}  # fmt: skip


def changed(node: str, **inputs: Any) -> dict[str, Any]:
    prompt = copy.deepcopy(PROMPT)
    prompt[node]["inputs"].update(inputs)
    return prompt


@pytest.fixture
def bench(bench_of, folders):
    tiny_checkpoint(folders.base / "models" / "checkpoints")
    names = [item["class_type"] for item in PROMPT.values()]
    made = bench_of(*(built_in_nodes()[name] for name in dict.fromkeys(names)))
    settings = Settings(folders=folders, memory=MemorySettings(device="cpu", max_vram_bytes=BUDGET))
    made.models = model_store_from_settings(settings)
    return made


def changes(done: Any) -> list[tuple[str, str]]:
    return [(item["kind"], item["what"]) for item in done.stats["memory"]["changes"]]


def test_an_edit_runs_what_hangs_on_it_and_loads_nothing(bench: Any) -> None:
    first = bench.run(PROMPT)
    assert first.outcome == "succeeded", first.error
    assert sorted(first.ran) == ["1", "2", "3", "4", "5", "6", "7"]
    assert changes(first) == [
        ("loaded", "text encoder of tiny.safetensors"),
        ("cast", "text encoder of tiny.safetensors"),
        ("loaded", "network of tiny.safetensors"),
        ("cast", "vae of tiny.safetensors"),
    ]
    (device,) = first.stats["memory"]["devices"]
    assert (device["device"], device["budget_bytes"]) == ("cpu", BUDGET)
    assert 0 < device["resident_bytes"] < BUDGET
    renamed = bench.run(changed("7", filename_prefix="second"))
    assert (renamed.ran, changes(renamed)) == (["7"], [])
    reworded = bench.run(changed("2", text="a hare"))
    assert (sorted(reworded.ran), changes(reworded)) == (["2", "5", "6", "7"], [])
    assert reworded.reasons["2"]["reason"] == "inputs_changed"


def test_each_node_tells_what_it_held_at_its_peak(bench: Any) -> None:
    done = bench.run(changed("4", width=256, height=256))
    held = done.stats["node_bytes"]
    # The encoder's weights, the network's weights, a decoded picture and what decoding it took; little is not told.
    assert {"2", "5", "6"} <= set(held) <= {"2", "3", "5", "6"}
    (device,) = done.stats["memory"]["devices"]
    network = next(item for item in device["networks"] if item["what"].startswith("network"))
    assert network["resident_bytes"] < held["5"] < BUDGET
    assert held["6"] >= 256 * 256 * 3 * 4
    finished = {data["node"]: data.get("held_bytes") for data in bench.reports(done.job, "node_finished")}
    assert {node: num_bytes for node, num_bytes in finished.items() if num_bytes} == held
    again = bench.run(changed("4", width=256, height=256))
    assert again.stats["node_bytes"] == {}


@pytest.mark.parametrize("num_pairs", [4, pytest.param(100, marks=pytest.mark.thorough)])
def test_jobs_that_cannot_fit_fail_by_plan_and_those_between_them_run(bench: Any, num_pairs: int) -> None:
    assert bench.run(PROMPT).outcome == "succeeded"
    for number in range(num_pairs):
        refused = bench.run(changed("4", width=8192, height=4096 + 64 * (number % 8)))
        assert (refused.outcome, refused.error["code"], refused.error["node"]) == ("failed", "out_of_memory", "5")
        fits = refused.error["details"]["fits"]
        assert f"{fits['width']} x {fits['height']} pixels would fit" in refused.error["hint"]
        assert 64 < fits["width"] < 8192
        # A size that was refused before is not tried two at a time again.
        assert {"refused"} <= {kind for kind, _ in changes(refused)} <= {"split", "refused"}
        good = bench.run(changed("5", seed=2 + number))
        assert (good.outcome, changes(good)) == ("succeeded", [])


def test_the_size_an_error_names_does_fit(bench: Any) -> None:
    refused = bench.run(changed("4", width=8192, height=8192))
    fits = refused.error["details"]["fits"]
    host = bench.models.hosts[0]
    model = bench.models.open_checkpoint(bench.folders.base / "models" / "checkpoints" / "tiny.safetensors")[0]
    needed = model.activation_bytes(1, fits["height"] // 8, fits["width"] // 8)
    larger = model.activation_bytes(1, fits["height"] // 8 + 8, fits["width"] // 8 + 8)
    room = host.budget_bytes - host.least_bytes(model.source)
    assert needed <= room < larger
