"""Every recipe that comes with the project builds and takes two steps, its networks shrunk, on data of its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.training.checkpoints import newest_state
from engine.training.config.merge import merge, read_config
from engine.training.config.resolve import resolve
from engine.training.recipe import TrainingRecipe
from tests.tiny_sd1 import tiny_checkpoint
from tests.training.tiny_recipes import run

torch.set_num_threads(1)
RECIPES = Path(__file__).parents[2] / "models" / "configs" / "training"
EVERYDAY = {
    "optimizer": {"learning_rate": 1e-3},
    "trainer": {"max_steps": 2, "accumulate": 1, "log_every": 1, "accelerator": "cpu"},
}


def field(key: str, values: str, *shape: int, below: int = 2) -> dict[str, Any]:
    return {"key": key, "values": values, "shape": list(shape), "below": below}


def synthetic(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"batch_size": 2, "num_workers": 0, "source": {"kind": "synthetic", "fields": fields}}


SIZES = [field(key, "whole", 2, below=512) for key in ("original_size", "crop_top_left")]
SMALL_UNET = {"model_channels": 32, "num_res_blocks": 1, "head_channels": 32}
PIXEL_SAMPLES = {"num": 2, "steps": 2}
DIGITS = synthetic(field("image", "pixels", 1, 28, 28), field("class", "whole", below=10))


def shrunk(name: str, checkpoint: str) -> dict[str, Any]:
    """What a test changes in each recipe: the data, and sizes that cost time."""
    stage = {"kind": "autoencoder", "checkpoint": checkpoint, "scale": 0.13025}
    latent_samples = {"num": 2, "steps": 2, "size": [32, 32]}
    cached = {
        "model": {"base": {"checkpoint": checkpoint}},
        "trainer": {"precision": "fp32"},
        "data": {
            "batch_size": 2,
            "num_workers": 0,
            "source": {"size": 64},
            "latent_cache": {"path": "latents", "num_items": 4},
        },
        "samples": {"num": 1, "steps": 1, "size": [64, 64], "guidance": 1.0},
    }
    return {
        "starter_controlnet_edges": cached,
        "starter_controlnet_colours": cached,
        "starter_inpaint": cached,
        "mnist": {"data": DIGITS, "samples": PIXEL_SAMPLES},
        "mnist_cond": {"data": DIGITS, "samples": PIXEL_SAMPLES},
        "mnist_cond_discrete_eps": {"data": DIGITS, "samples": PIXEL_SAMPLES},
        "mnist_cond_with_ema": {"data": DIGITS, "samples": PIXEL_SAMPLES},
        "cifar10_cond": {
            "data": synthetic(field("image", "pixels", 3, 32, 32), field("class", "whole", below=10)),
            "samples": PIXEL_SAMPLES,
        },
        "imagenet-f8_cond": {
            "model": {"first_stage": stage, "network": {"channel_mult": [1, 1, 1]}},
            "data": synthetic(field("image", "pixels", 3, 32, 32), field("class", "whole", below=1000), *SIZES),
            "samples": latent_samples,
        },
        "txt2img-clipl": {
            "model": {
                "first_stage": stage,
                "network": {"channel_mult": [1, 1, 1, 1], "context_width": 32, "vector_width": 32 + 1024},
                "conditioner": {
                    "embedders": [
                        {"kind": "clip_text", "checkpoint": checkpoint, "pooled": "also", "ucg_rate": 0.1},
                        {"kind": "size", "input_key": "original_size", "width": 256, "ucg_rate": 0.1},
                        {"kind": "size", "input_key": "crop_top_left", "width": 256, "ucg_rate": 0.1},
                    ]
                },
            },
            "data": synthetic(field("image", "pixels", 3, 64, 64), field("text", "text"), *SIZES),
            "samples": {**latent_samples, "size": [64, 64]},
        },
        "starter_text_to_image": {
            "model": {
                "first_stage": {"checkpoint": checkpoint},
                "network": {"context_width": 32},
                "conditioner": {"embedders": [{"kind": "clip_text", "checkpoint": checkpoint, "ucg_rate": 0.1}]},
            },
            "trainer": {"precision": "fp32"},
            "data": {
                "batch_size": 2,
                "num_workers": 0,
                "source": {"size": 64},
                "latent_cache": {"path": "latents", "num_items": 4},
            },
            "samples": {**latent_samples, "size": [64, 64]},
        },
    }[name]


def names() -> list[str]:
    kinds = {path.stem: read_config([path])["model"]["kind"] for path in RECIPES.glob("*.yaml")}
    return sorted(name for name, kind in kinds.items() if kind in ("diffusion", "controlnet", "inpainting"))


@pytest.mark.parametrize("name", names())
def test_a_recipe_builds_and_takes_two_steps(name: str, tmp_path: Path) -> None:
    full = read_config([RECIPES / f"{name}.yaml"])
    resolve(TrainingRecipe, full)
    everyday = EVERYDAY
    if full["model"].get("network", {}).get("head_channels"):
        everyday = {**EVERYDAY, "model": {"network": SMALL_UNET}}
    small = merge(merge(full, everyday), shrunk(name, str(tiny_checkpoint(tmp_path))))
    wanted = resolve(TrainingRecipe, small)
    result = run(tmp_path / "run", wanted)
    assert (result.step, result.is_finished) == (2, True)
    assert 0 < result.loss < 10
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == ["step-000000002.png"]
    state = newest_state(tmp_path / "run" / "checkpoints")
    assert all(torch.isfinite(weight).all() for weight in state.weights.values())
    assert (state.ema is None) == (wanted.ema is None)
    assert result.exported == (None if wanted.export is None else tmp_path / "run" / wanted.export.file)


TAUGHT = sorted(path.stem for name in ("starter_[le]*_*", "starter_refiner") for path in RECIPES.glob(f"{name}.yaml"))


@pytest.mark.parametrize("name", TAUGHT)
def test_a_recipe_of_what_the_starter_is_taught_builds_takes_two_steps_and_writes_its_file(
    name: str, tmp_path: Path
) -> None:
    small = merge(
        merge(read_config([RECIPES / f"{name}.yaml"]), EVERYDAY),
        {
            "model": {"base": {"checkpoint": str(tiny_checkpoint(tmp_path))}},
            "trainer": {"precision": "fp32"},
            "data": {
                "batch_size": 2,
                "num_workers": 0,
                "source": {"size": 64},
                "latent_cache": {"path": "latents", "num_items": 4},
            },
        },
    )
    wanted = resolve(TrainingRecipe, small)
    result = run(tmp_path / "run", wanted)
    assert (result.step, result.is_finished) == (2, True)
    assert result.exported == tmp_path / "run" / f"{name.replace('embedding_', '')}.safetensors"
