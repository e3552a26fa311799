"""Runs of first stages, preview decoders and upscalers: stopped and continued, validated, exported; their recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.training.checkpoints import newest_state
from engine.training.config.error import ConfigError
from engine.training.config.merge import merge, read_config
from engine.training.config.resolve import resolve
from engine.training.recipe import TrainingRecipe
from engine.training.run_folder import RunFolder
from engine.training.trainer import export_run
from engine.weights.checkpoint import open_checkpoint
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on
from tests.training.tiny_recipes import run

torch.set_num_threads(1)
RECIPES = Path(__file__).parents[2] / "models" / "configs" / "training"


def pixels(size: int) -> dict[str, Any]:
    return {"kind": "synthetic", "fields": [{"key": "image", "values": "pixels", "shape": [3, size, size]}]}


CONTESTED: dict[str, Any] = {
    "seed": 5,
    "model": {
        "kind": "autoencoder", "channels": 32, "channel_mult": [1, 1], "num_res_blocks": 1, "latent_channels": 2,
        "has_middle_attention": False, "crops": [{"size": 8, "per_picture": 2}, {"size": 16, "from_step": 3}],
        "loss": {"discriminator": {"start_step": 2, "channels": 8, "num_layers": 1, "learning_rate_factor": 2.0}},
    },
    "data": {"batch_size": 2, "source": pixels(16)},
    "trainer": {"max_steps": 5, "log_every": 1, "checkpoint_every": 2, "accelerator": "cpu", "accumulate": 2},
    "optimizer": {"learning_rate": 1e-3, "max_norm": 0.5, "schedule": {"kind": "cosine", "warmup_steps": 2}},
    "ema": {"decay": 0.9},
    "validation": {"source": pixels(16), "num": 3, "batch_size": 2, "every_steps": 2, "num_shown": 2},
    "export": {"kind": "network", "file": "vae.safetensors", "num_measured": 3, "normalise_latent_std": 5.49},
}  # fmt: skip
"""A KL autoencoder whose opponent begins with the third step, and whose crops change with the fourth."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert run(folder, resolve(TrainingRecipe, CONTESTED)).is_finished
    return folder


def assert_equal(first: Path, second: Path) -> None:
    one, two = (newest_state(folder / "checkpoints") for folder in (first, second))
    assert one.step == two.step == 5
    for name in one.weights:
        assert torch.equal(one.weights[name], two.weights[name]), name
        assert torch.equal(one.ema[name], two.ema[name]), name


@pytest.mark.parametrize("steps", [1, 3])
def test_a_contest_that_was_stopped_goes_on_to_the_weights_of_an_uninterrupted_one(
    steps: int, finished: Path, tmp_path: Path
) -> None:
    asked = iter([False] * (steps - 1) + [True])
    assert run(tmp_path, resolve(TrainingRecipe, CONTESTED), should_stop=lambda: next(asked)).step == steps
    assert run(tmp_path, resolve(TrainingRecipe, CONTESTED), resumes=True).is_finished
    assert_equal(finished, tmp_path)
    assert (tmp_path / "vae.safetensors").read_bytes() == (finished / "vae.safetensors").read_bytes()


def test_both_sides_of_a_contest_are_learned_and_saved(finished: Path) -> None:
    weights = newest_state(finished / "checkpoints").weights
    assert {name.split(".")[0] for name in weights} == {"network", "discriminator"}


def test_a_run_notes_the_parts_of_its_loss_and_its_validation(finished: Path) -> None:
    entries = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    started = [entry["step"] for entry in entries if "discriminator" in entry]
    assert started == [3, 4, 5]
    assert [entry["step"] for entry in entries if "validation_psnr" in entry] == [2, 4, 5]
    assert all("kl" in entry and "reconstruction" in entry for entry in entries if "loss" in entry)
    assert sorted(path.name for path in (finished / "samples").iterdir()) == [
        f"step-{step:09d}.png" for step in (2, 4, 5)
    ]
    with Image.open(finished / "samples" / "step-000000005.png") as grid:
        assert grid.size == (6 * 16, 16)


def test_the_measured_latents_are_in_the_report_and_in_the_file(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert report["step"] == 5
    assert report["latent_std"] == pytest.approx(5.49, rel=1e-3)
    assert report["latent_scale"] == pytest.approx(0.18215, rel=1e-3)
    assert report["latent_pictures"] == 3
    with open_checkpoint(finished / "vae.safetensors") as checkpoint:
        assert checkpoint.metadata["atelier.latent_std"] == str(report["latent_std"])
        assert checkpoint.metadata["atelier.steps"] == "5"
        assert not any(key.startswith("discriminator") for key in checkpoint.tensors)
    assert store_on(host_with()).open_vae(finished / "vae.safetensors").downscale == 2


def test_a_finished_run_taken_up_again_and_an_export_by_itself_write_the_same_average(finished: Path) -> None:
    written = (finished / "vae.safetensors").read_bytes()
    recipe = resolve(TrainingRecipe, CONTESTED)
    assert run(finished, recipe, resumes=True).exported == finished / "vae.safetensors"
    assert (finished / "vae.safetensors").read_bytes() == written
    assert export_run(recipe, RunFolder(finished), finished, finished / "again.safetensors") == 5
    assert (finished / "again.safetensors").read_bytes() == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": {"size": [16, 16]}}, "has validation"),
        ({"export": {"kind": "sd1", "num_measured": None, "normalise_latent_std": None}}, "not exported as sd1"),
    ],
)
def test_what_belongs_to_another_kind_of_model_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(TrainingRecipe, merge(CONTESTED, change))


# ------------------------------------------------------------------ the recipes that come with the project


def shrunk(name: str, checkpoint: Path) -> dict[str, Any]:
    """What a test changes in each recipe: data, lengths, and sizes that cost time."""
    trainer = {"max_steps": 2, "accumulate": 1, "log_every": 1, "accelerator": "cpu", "precision": "fp32"}
    small: dict[str, Any] = {"trainer": trainer, "validation": {"num": 1, "batch_size": 1}}
    if name.startswith("autoencoder/"):
        loss = {"perceptual_weight": 0.0, "discriminator": {"start_step": 1, "channels": 8}}
        small["model"] = {"channels": 32, "num_res_blocks": 1, "loss": loss}
        small["data"] = {"batch_size": 1, "num_workers": 0, "source": pixels(32)}
        small["validation"]["source"] = pixels(32)
        return small
    if name == "starter_text_encoder":
        return {**small, "data": {"batch_size": 2, "num_workers": 0}}
    crops = [{"size": 32, "per_picture": 2}]
    small["data"] = {"batch_size": 1, "num_workers": 0, "source": {"size": 64}}
    small["validation"]["source"] = {"size": 64}
    small["model"] = {"crops": crops}
    small["export"] = {"num_measured": 1} if name == "starter_autoencoder" else {}
    if name in ("starter_preview_decoder", "starter_decoder"):
        small["model"]["start" if name == "starter_decoder" else "teacher"] = {"checkpoint": str(checkpoint)}
    return small


@pytest.mark.parametrize(
    "name",
    [
        "autoencoder/kl-f4", "autoencoder/kl-f8", "autoencoder/vq-f8",
        "starter_autoencoder", "starter_decoder", "starter_preview_decoder", "starter_text_encoder", "starter_upscaler",
    ],
)  # fmt: skip
def test_a_recipe_builds_and_takes_two_steps(name: str, tmp_path: Path) -> None:
    full = read_config([RECIPES / f"{name}.yaml"])
    resolve(TrainingRecipe, full)
    small = resolve(TrainingRecipe, merge(full, shrunk(name, shallow_checkpoint(tmp_path))))
    result = run(tmp_path / "run", small)
    assert (result.step, result.is_finished) == (2, True)
    assert 0 < result.loss < 400
    assert result.exported == tmp_path / "run" / full["export"]["file"]
    assert result.exported.stat().st_size > 10_000
    state = newest_state(tmp_path / "run" / "checkpoints")
    assert all(torch.isfinite(weight).all() for weight in state.weights.values())
    figures = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()][-1]
    assert figures["validation_read" if name == "starter_text_encoder" else "validation_psnr"] >= 0


@pytest.mark.parametrize("name", ["kl-f4", "kl-f8", "vq-f8"])
def test_a_recipe_of_a_published_first_stage_has_its_keys_and_shapes(name: str) -> None:
    import gzip

    from engine.nn.autoencoder import Autoencoder

    layout = Path(__file__).parents[1] / "data" / "layouts" / f"ldm-{name}.json.gz"
    published = json.loads(gzip.decompress(layout.read_bytes()))["tensors"]
    recipe = resolve(TrainingRecipe, read_config([RECIPES / "autoencoder" / f"{name}.yaml"]))
    with torch.device("meta"):
        own = {key: list(weight.shape) for key, weight in Autoencoder(recipe.model.config).state_dict().items()}
    assert own == {key: shape for key, (_, shape) in published.items() if not key.startswith(("loss.", "model_ema."))}
