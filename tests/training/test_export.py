"""A trained model as a Stable Diffusion 1 checkpoint that inference opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.prediction import VPrediction
from engine.families.sd1.network import LATENT_FORMAT
from engine.families.unet.latents import COLOURS_MARK, LATENTS_ENTRY
from engine.training.config.error import ConfigError
from engine.training.config.merge import merge
from engine.training.config.resolve import resolve
from engine.training.context import BuildContext
from engine.training.diffusion_module import DiffusionModule
from engine.training.export import Sd1ExportRecipe, export_sd1
from engine.training.recipe import TrainingRecipe
from engine.training.run_folder import RunFolder
from engine.training.trainer import export_run
from engine.weights.checkpoint import open_checkpoint
from tests.tiny_sd1 import host_with, store_on, tiny_checkpoint
from tests.training.tiny_recipes import run

torch.set_num_threads(1)
CPU = torch.device("cpu")

TEXT = {
    "kind": "clip_text", "width": 64, "num_layers": 2, "num_heads": 1, "inner_width": 64, "vocabulary": 600,
    "is_trainable": True, "ucg_rate": 0.1,
}  # fmt: skip
RECIPE: dict[str, Any] = {
    "model": {
        "kind": "diffusion",
        "network": {
            "kind": "unet", "in_channels": 4, "out_channels": 4, "model_channels": 32, "channel_mult": [1, 1],
            "num_res_blocks": 1, "transformer_depth": [1, 0], "middle_depth": 1, "context_width": 64,
        },
        "sigma_sampling": {"kind": "discrete"},
        "weighting": {"kind": "min_snr"},
        "conditioner": {
            "embedders": [TEXT]
        },
        "first_stage": {"kind": "autoencoder", "checkpoint": "tiny.safetensors"},
    },
    "data": {
        "batch_size": 2,
        "source": {
            "kind": "synthetic",
            "fields": [{"key": "latent", "values": "normal", "shape": [4, 8, 8]}, {"key": "text", "values": "text"}],
        },
    },
    "optimizer": {"learning_rate": 0.01},
    "ema": {"decay": 0.5},
    "trainer": {"max_steps": 3, "accelerator": "cpu"},
    "export": {"kind": "sd1", "title": "A test"},
}  # fmt: skip


def recipe(over: dict[str, Any] | None = None) -> TrainingRecipe:
    return resolve(TrainingRecipe, merge(RECIPE, over or {}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    tiny_checkpoint(folder)
    run(folder, recipe())
    return folder


def averaged(folder: Path) -> DiffusionModule:
    from engine.training.checkpoints import newest_state

    module = DiffusionModule(recipe().model, BuildContext(folder, 0))
    state = newest_state(folder / "checkpoints")
    with torch.no_grad():
        for name, parameter in module.trained_parameters().items():
            parameter.copy_(state.ema[name].half())
    return module.eval()


def test_the_exported_file_is_half_precision_and_says_what_it_is(folder: Path) -> None:
    with open_checkpoint(folder / "model.safetensors") as checkpoint:
        assert {info.dtype for info in checkpoint.tensors.values()} == {"F16"}
        assert checkpoint.metadata["modelspec.title"] == "A test"
        assert checkpoint.metadata["atelier.steps"] == "3"
        assert "modelspec.license" not in checkpoint.metadata


def test_inference_computes_what_the_averaged_weights_compute(folder: Path) -> None:
    model, clip, vae = store_on(host_with()).open_checkpoint(folder / "model.safetensors")
    module = averaged(folder)
    encoding = clip.encode("a red house by the sea")
    inputs = module.conditioner.conditional({"text": ["a red house by the sea"]}, CPU)
    assert torch.allclose(encoding.context, inputs.context, atol=1e-3)
    x, sigma = torch.randn(1, 4, 8, 8) * 3, torch.tensor([3.0])
    found = model.denoise(x, sigma, model.condition(ConditioningEntry(encoding.context), x, None))
    with torch.no_grad():
        wanted = module.parameterization.denoise(module.predict, x, sigma, inputs)
    assert torch.allclose(found, wanted, atol=2e-2)
    assert float((found - x).abs().max()) > 0.1
    picture = vae.decode(torch.zeros(1, 4, 2, 2))
    assert torch.allclose(
        picture[0].permute(2, 0, 1) * 2 - 1,
        module.first_stage.decode(torch.zeros(1, 4, 2, 2))[0].clamp(-1, 1),
        atol=2e-2,
    )


def test_a_run_is_exported_again_from_its_newest_checkpoint(folder: Path) -> None:
    path = folder / "again.safetensors"
    assert export_run(recipe(), RunFolder(folder), folder, path) == 3
    with open_checkpoint(path) as again, open_checkpoint(folder / "model.safetensors") as first:
        assert again.shapes == first.shapes
        for key in first.tensors:
            assert torch.equal(again.tensor(key), first.tensor(key)), key


def test_a_network_that_predicts_v_is_marked(folder: Path) -> None:
    module = DiffusionModule(recipe({"model": {"parameterization": {"prediction": "v"}}}).model, BuildContext(folder))
    export_sd1(module, Sd1ExportRecipe("sd1"), folder / "v.safetensors")
    model = store_on(host_with()).open_checkpoint(folder / "v.safetensors")[0]
    assert model.parameterization.prediction == VPrediction()


def test_previews_show_the_colours_of_the_files_own_latents(folder: Path) -> None:
    module = DiffusionModule(recipe().model, BuildContext(folder))
    export_sd1(module, Sd1ExportRecipe("sd1", latents="mine"), folder / "colours.safetensors")
    export_sd1(module, Sd1ExportRecipe("sd1", latents=""), folder / "plain.safetensors")
    store = store_on(host_with())
    model, clip, vae = store.open_checkpoint(folder / "colours.safetensors")
    own, usual = model.latent_format, store.open_checkpoint(folder / "plain.safetensors")[0].latent_format
    smooth = torch.nn.functional.interpolate(
        torch.randn(4, 4, 2, 2, generator=torch.Generator().manual_seed(7)), size=(8, 8), mode="bilinear"
    )
    pictures = module.first_stage.decode(smooth).clamp(-1, 1).add(1).div(2)
    cells = torch.nn.functional.avg_pool2d(pictures, own.downscale).movedim(1, -1)
    assert usual == LATENT_FORMAT
    assert (own.preview(smooth) - cells).square().mean() < 0.5 * (usual.preview(smooth) - cells).square().mean()
    assert own.name == "mine", "a published tiny decoder would be taken for these latents"
    store.checkpoint_file(model, clip, vae, title="Saved").write(folder / "saved.safetensors")
    saved = store.open_checkpoint(folder / "saved.safetensors")[0].latent_format
    assert saved.name == "mine"
    assert torch.allclose(torch.tensor(saved.rgb_factors), torch.tensor(own.rgb_factors))


def test_colours_that_cannot_be_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, COLOURS_MARK: torch.zeros(5, 3)}, folder / "odd.safetensors", {LATENTS_ENTRY: "../../x"})
    assert store_on(host_with()).open_checkpoint(folder / "odd.safetensors")[0].latent_format.name == "own"
    save_file({**tensors, COLOURS_MARK: torch.zeros(4, 3)}, folder / "odd.safetensors")
    with pytest.raises(CheckpointError, match=r"has the shape \[4, 3\]"):
        store_on(host_with()).open_checkpoint(folder / "odd.safetensors")
    save_file({**tensors, COLOURS_MARK: torch.full((5, 3), torch.nan)}, folder / "odd.safetensors")
    with pytest.raises(CheckpointError, match="not finite"):
        store_on(host_with()).open_checkpoint(folder / "odd.safetensors")


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"network": {"num_heads": 4}}, "U-Net would be read as"),
        ({"conditioner": {"embedders": [{**TEXT, "num_heads": 2}]}}, "text encoder would be read as"),
        ({"first_stage": {"kind": "identity"}}, "autoencoder as first stage"),
        ({"first_stage": {"scale": 0.5}}, "scales its latents by 0.18215, not 0.5"),
        ({"parameterization": {"table": {"kind": "discrete", "num_steps": 500}}}, "thousand steps"),
        ({"conditioner": {"embedders": []}}, "one CLIP text encoder"),
    ],
)  # fmt: skip
def test_a_model_the_layout_cannot_say_is_refused(over: dict[str, Any], words: str, folder: Path) -> None:
    module = DiffusionModule(recipe({"model": over}).model, BuildContext(folder))
    with pytest.raises(ConfigError, match=words):
        export_sd1(module, Sd1ExportRecipe("sd1"), folder / "refused.safetensors")
    assert not (folder / "refused.safetensors").exists()
