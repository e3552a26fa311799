"""Specialists made of a checkpoint: networks that fill holes, networks of few noise levels, and their small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import parse_conditioning
from engine.families.sd1.config import HEADS_MARKER
from engine.families.sd1.network import parameterization
from engine.training.adapters.base_model import BaseModelRecipe
from engine.training.adapters.checkpoint_export import CheckpointExportRecipe
from engine.training.adapters.fine_tune import FineTuneRecipe
from engine.training.checkpoints import newest_state
from engine.training.config.error import ConfigError
from engine.training.config.resolve import resolve
from engine.training.context import BuildContext
from engine.training.data.place import Place
from engine.training.inpainting.masks import MaskRecipe, random_mask
from engine.training.inpainting.recipe import InpaintingRecipe
from engine.training.postcards.chance import Chance
from engine.training.randomness import StepChance
from engine.training.recipe import TrainingRecipe
from engine.training.sigma_sampling import RangeSampling
from nodes.vae import condition_inpainting
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on
from tests.training.tiny_recipes import run

torch.set_num_threads(1)
CPU = torch.device("cpu")
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
SIGMA = torch.tensor([2.0, 0.4])
FORMS = ("boxes", "strokes", "outside", "everything")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shallow checkpoint with marked heads, so that its network can be alone in a file."""
    folder = tmp_path_factory.mktemp("specialists")
    weights = load_file(shallow_checkpoint(folder))
    save_file({**weights, HEADS_MARKER: torch.zeros(16)}, folder / "marked.safetensors")
    return folder / "marked.safetensors"


def only(form: str) -> MaskRecipe:
    return MaskRecipe(**{name: float(name == form) for name in FORMS})


def filler(checkpoint: Path, masks: MaskRecipe | None = None) -> Any:
    recipe = InpaintingRecipe("inpainting", BaseModelRecipe(checkpoint), masks or MaskRecipe())
    return recipe.build(BuildContext(checkpoint.parent))


def batch() -> dict[str, Any]:
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return {"image": pixels, "text": ["a red fox", "a blue house"], "first_draw": 0}


def predicted(module: Any, inputs: ConditionInputs) -> torch.Tensor:
    with torch.no_grad():
        return module.parameterization.denoise(module.predict, X, SIGMA, inputs)


def shaken(module: Any) -> Any:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in module.trained_parameters().values():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
    return module


# ------------------------------------------------------------------ holes


@pytest.mark.parametrize("form", FORMS)
def test_a_hole_follows_from_its_chance_and_has_the_size_of_its_form(form: str) -> None:
    masks = [random_mask(only(form), Chance("test", number), 64, 96) for number in range(20)]
    assert all(np.array_equal(mask, random_mask(only(form), Chance("test", n), 64, 96)) for n, mask in enumerate(masks))
    assert all(mask.shape == (64, 96) and set(np.unique(mask)) <= {0.0, 1.0} for mask in masks)
    low, high = {"boxes": (0.04, 0.95), "strokes": (0.0, 0.9), "outside": (0.27, 0.88), "everything": (1, 1)}[form]
    assert all(low <= mask.mean() <= high for mask in masks)
    if form != "everything":
        assert len({mask.tobytes() for mask in masks}) == 20


def test_forms_are_drawn_in_their_proportions_and_nonsense_is_refused() -> None:
    recipe = MaskRecipe(boxes=1.0, strokes=0.0, outside=0.0, everything=3.0)
    whole = [random_mask(recipe, Chance("share", number), 8, 8).all() for number in range(400)]
    assert 0.65 < np.mean(whole) < 0.85
    with pytest.raises(ValueError, match="shares"):
        MaskRecipe(boxes=-1.0)


def test_a_stored_hole_is_the_mask_and_the_latent_of_the_picture_with_grey_there(checkpoint: Path) -> None:
    module = filler(checkpoint, only("boxes"))
    (embedder,) = (part for part in module.conditioner.parts if part.companion_key == "hole")

    class Averages:
        digest, keeps_variance = "averages", True

        def encode(self, pixels: torch.Tensor) -> torch.Tensor:
            mean = torch.nn.functional.avg_pool2d(pixels, 8)
            return torch.cat([mean, mean[:, :1], mean, mean[:, :1] - 9.0], dim=1)

    places = [Place(0, 4), Place(0, 5)]
    packed = torch.from_numpy(embedder.companion(Averages()).packed(batch()["image"], places))
    (shown,) = embedder({"hole": packed}, None, CPU)
    for row, place in enumerate(places):
        mask = torch.from_numpy(random_mask(only("boxes"), Chance("hole", place.draw), 64, 64))
        grey = torch.nn.functional.avg_pool2d(batch()["image"][row] * (1 - mask), 8)
        assert torch.allclose(shown[row, 1:4], grey, atol=1e-3)
        share = torch.nn.functional.avg_pool2d(mask[None], 8)[0]
        assert torch.equal(shown[row, 0][(share == 0) | (share == 1)], share[(share == 0) | (share == 1)])


# ------------------------------------------------------------------ networks of nine channels


def test_an_inpainting_network_begins_as_its_base(checkpoint: Path) -> None:
    module, model = filler(checkpoint), store_on(host_with()).open_checkpoint(checkpoint)[0]
    inputs = module.conditioner.conditional(batch(), CPU)
    assert tuple(inputs.concat.shape) == (2, 5, 8, 8)
    assert torch.allclose(
        predicted(module, inputs), model.denoise(X, SIGMA, ConditionInputs(inputs.context)), atol=1e-5
    )
    assert module.network.input_blocks[0][0].weight.shape[1] == 9
    assert "network.input_blocks.0.0.weight" in module.trained_parameters()


def test_an_exported_inpainting_network_fills_holes_as_the_trained_one(checkpoint: Path, tmp_path: Path) -> None:
    module = shaken(filler(checkpoint, only("boxes")))
    CheckpointExportRecipe("checkpoint", dtype="fp32").write(module, tmp_path / "fill.safetensors", {})
    model, clip, vae = store_on(host_with()).open_checkpoint(tmp_path / "fill.safetensors")
    assert model.in_channels == 9
    masks = torch.stack([torch.from_numpy(random_mask(only("boxes"), Chance("hole", 0, n), 64, 64)) for n in range(2)])
    pixels = (batch()["image"].movedim(1, 3) + 1) / 2
    inputs = module.conditioner.conditional(batch(), CPU)
    wanted = predicted(module, inputs)
    for row in range(2):
        text = [[clip.encode(batch()["text"][row]).context, {}]]
        positive, _, _ = condition_inpainting(text, text, vae, pixels[row : row + 1], masks[row : row + 1])
        (entry,) = parse_conditioning(positive)
        condition = model.condition(entry, X[row : row + 1], None)
        found = model.denoise(X[row : row + 1], SIGMA[row : row + 1], condition)
        assert torch.allclose(found[0], wanted[row], atol=1e-3)


def test_latents_without_pictures_have_no_holes(checkpoint: Path, tmp_path: Path) -> None:
    module = filler(checkpoint)
    with pytest.raises(ConfigError, match="latents alone"):
        module.conditioner.conditional({"latent": X, "text": ["a", "b"]}, CPU)
    CheckpointExportRecipe("checkpoint").write(module, tmp_path / "fill.safetensors", {})
    with pytest.raises(ConfigError, match="no U-Net for text to image"):
        filler(tmp_path / "fill.safetensors")


# ------------------------------------------------------------------ few noise levels, small files


def test_levels_of_a_range_lie_in_it_with_an_equal_share_of_each() -> None:
    table = parameterization(True).sigma_table
    levels = RangeSampling("range", 0.05, 1.6).draw(StepChance(0, 3, 0, 32, 32, CPU), table).log2()
    assert float(levels.min()) >= np.log2(0.05) - 1e-5
    assert torch.histc(levels, 4, float(np.log2(0.05)), float(np.log2(1.6))).tolist() == [8.0] * 4
    low = RangeSampling("range", 1e-6, 1e-5).draw(StepChance(0, 3, 0, 4, 4, CPU), table)
    assert torch.allclose(low, torch.full((4,), table.sigma_min))
    with pytest.raises(ValueError, match="below sigma_max"):
        RangeSampling("range", 1.0, 1.0)


@pytest.mark.parametrize("kind", ["fine_tune", "inpainting"])
def test_a_network_alone_in_eight_bits_is_a_checkpoint_for_use_beside_its_base(
    kind: str, checkpoint: Path, tmp_path: Path
) -> None:
    recipe = FineTuneRecipe("fine_tune", BaseModelRecipe(checkpoint)) if kind == "fine_tune" else None
    module = shaken(filler(checkpoint) if recipe is None else recipe.build(BuildContext(tmp_path)))
    exports = {dtype: CheckpointExportRecipe("checkpoint", dtype=dtype, parts="network") for dtype in ("fp32", "fp8")}
    for dtype, export in exports.items():
        export.write(module, tmp_path / f"{dtype}.safetensors", {})
    opened = {dtype: store_on(host_with()).open_checkpoint(tmp_path / f"{dtype}.safetensors") for dtype in exports}
    assert opened["fp8"][1:] == (None, None)
    concat = None if kind == "fine_tune" else torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(5))
    inputs = ConditionInputs(torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(6)), concat=concat)
    wanted, found = (opened[dtype][0].denoise(X, SIGMA, inputs) for dtype in ("fp32", "fp8"))
    assert 0 < float((found - wanted).norm() / (wanted - X).norm()) < 0.08
    stored = load_file(tmp_path / "fp8.safetensors")
    scaled = [key for key in stored if key.endswith(".scale_weight")]
    assert all(stored[key.replace("scale_weight", "weight")].dtype == torch.float8_e4m3fn for key in scaled)
    assert stored["model.diffusion_model.input_blocks.0.0.weight"].dtype == torch.float16
    assert (tmp_path / "fp8.safetensors").stat().st_size < (tmp_path / "fp32.safetensors").stat().st_size / 2.5


# ------------------------------------------------------------------ going on


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["inpainting", "controlnet"])
def test_a_stopped_run_on_stored_latents_goes_on_to_the_weights_of_an_uninterrupted_one(
    kind: str, checkpoint: Path, tmp_path: Path
) -> None:
    only_controls = {"rank": 2, "hint_channels": [4, 8, 8, 8]} if kind == "controlnet" else {}
    plain = {
        "model": {"kind": kind, "base": {"checkpoint": str(checkpoint)}, **only_controls},
        "data": {
            "source": {"kind": "postcards", "size": 64},
            "batch_size": 2,
            "latent_cache": {"path": str(tmp_path / "latents"), "num_items": 6, "hold": "device"},
        },
        "optimizer": {"algorithm": "muon", "learning_rate": 1e-2},
        "trainer": {"max_steps": 2, "log_every": 1, "checkpoint_every": 1, "accelerator": "cpu"},
    }
    recipe = resolve(TrainingRecipe, plain)
    run(tmp_path / "whole", recipe)
    stopped = run(tmp_path / "parts", recipe, should_stop=lambda: True)
    assert (stopped.step, stopped.is_finished) == (1, False)
    run(tmp_path / "parts", recipe, resumes=True)
    whole, parts = (newest_state(tmp_path / name / "checkpoints") for name in ("whole", "parts"))
    assert whole.step == parts.step == 2
    assert all(torch.equal(whole.weights[name], parts.weights[name]) for name in whole.weights)
