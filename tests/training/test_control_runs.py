"""Training a control network: it begins as nothing, learns beside a base that stays, and its file is a control."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.core.errors import CheckpointError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.controls import ControlUse
from engine.training.adapters.base_model import BaseModelRecipe
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.control.colours import ColourCellsRecipe
from engine.training.control.edges import CannyRecipe
from engine.training.control.recipe import HINT_ENTRY, ControlExportRecipe, ControlNetRecipe, HintRecipe
from engine.training.data.place import Place
from engine.weights.checkpoint import open_checkpoint
from nodes.image_filters import detect_edges
from nodes.preprocessors import make_color_cells
from tests.control_files import opened
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
SIGMA = torch.tensor([3.0, 3.0])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shallow_checkpoint(tmp_path_factory.mktemp("control"))


def built(checkpoint: Path, held: Any = "fp32", **fields: Any) -> Any:
    recipe = ControlNetRecipe("controlnet", BaseModelRecipe(checkpoint, held), hint_channels=(4, 8, 8, 8), **fields)
    return recipe.build(BuildContext(checkpoint.parent))


def batch() -> dict[str, Any]:
    pixels = torch.zeros(2, 3, 64, 64)
    pixels[:, :, 16:48, 8:40], pixels[1, 1, :20] = 0.8, -0.7
    return {"image": pixels, "text": ["a red fox", "a blue house"], "first_draw": 0}


def predicted(module: Any, inputs: ConditionInputs) -> torch.Tensor:
    with torch.no_grad():
        return module.parameterization.denoise(module.predict, X, SIGMA, inputs)


def test_a_control_network_adds_nothing_before_it_has_learned(checkpoint: Path) -> None:
    model = store_on(host_with()).open_checkpoint(checkpoint)[0]
    for held, rank in (("fp32", None), ("fp16", None), ("fp32", 2)):
        module = built(checkpoint, held, rank=rank)
        inputs = module.conditioner.conditional(batch(), torch.device("cpu"))
        wanted = model.denoise(X, SIGMA, ConditionInputs(inputs.context))
        assert torch.allclose(predicted(module, inputs), wanted, atol=1e-5 if held == "fp32" else 0.2)
        assert all(name.startswith("network.control.") for name in module.trained_parameters())


@pytest.mark.parametrize("rank", [None, 2])
def test_an_exported_control_network_steers_as_the_trained_one(
    rank: int | None, checkpoint: Path, tmp_path: Path
) -> None:
    module = built(checkpoint, rank=rank)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in module.trained_parameters().values():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
    ControlExportRecipe("controlnet", dtype="fp32").write(module, tmp_path / "edges.safetensors", {})
    inputs = module.conditioner.conditional(batch(), torch.device("cpu"))
    edges = detect_edges((batch()["image"].movedim(1, 3) + 1) / 2, 0.1, 0.3)
    assert 0 < float(edges.mean()) < 0.2
    model = store_on(host_with()).open_checkpoint(checkpoint)[0]
    use = ControlUse(opened(tmp_path / "edges.safetensors"), edges)
    found = [
        model.denoise(X, SIGMA, model.condition(ConditioningEntry(inputs.context[n : n + 1], controls=(use,)), X, None))
        for n in range(2)
    ]
    wanted = predicted(module, inputs)
    assert torch.allclose(torch.stack([found[n][n] for n in range(2)]), wanted, atol=1e-4)
    assert not torch.allclose(wanted, model.denoise(X, SIGMA, ConditionInputs(inputs.context)), atol=1e-2)


def test_a_network_of_low_rank_is_a_fraction_of_a_whole_one_and_tells_what_it_was_shown(
    checkpoint: Path, tmp_path: Path
) -> None:
    sizes = {}
    for rank in (None, 2):
        path = tmp_path / f"{rank}.safetensors"
        module = built(checkpoint, rank=rank, hint=ColourCellsRecipe("colour_cells", cell_px=8))
        ControlExportRecipe("controlnet").write(module, path, {})
        sizes[rank] = path.stat().st_size
        with open_checkpoint(path) as written:
            assert json.loads(written.metadata[HINT_ENTRY])["cell_px"] == 8
    assert sizes[2] < sizes[None] / 2


@pytest.mark.parametrize("recipe", [CannyRecipe(), ColourCellsRecipe("colour_cells", cell_px=16)])
def test_a_hint_from_a_cache_is_the_one_the_node_makes_of_the_picture(recipe: HintRecipe) -> None:
    embedder, pictures = recipe.build(BuildContext(Path()), "hint"), batch()["image"]
    companion = embedder.companion(None)
    stored = torch.from_numpy(companion.packed(pictures, [Place(0, 0), Place(0, 1)]))
    device = torch.device("cpu")
    (live,), (kept,) = (embedder({key: value}, None, device) for key, value in (("image", pictures), ("hint", stored)))
    image = (pictures.movedim(1, 3) + 1) / 2
    is_canny = isinstance(recipe, CannyRecipe)
    node = detect_edges(image, 0.1, 0.3) if is_canny else make_color_cells(image, 16)
    assert torch.equal(live.movedim(1, 3), node)
    assert torch.allclose(kept, live, atol=0.0 if is_canny else 0.5 / 255 + 1e-6)
    assert stored.nbytes <= live.nbytes / 90


def test_squares_that_do_not_divide_a_picture_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not divide"):
        ColourCellsRecipe("colour_cells", cell_px=48).hint(batch()["image"])
    with pytest.raises(ValueError, match="cell_px"):
        ColourCellsRecipe("colour_cells", cell_px=1)


def test_thresholds_and_bases_that_do_not_fit_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not above high_threshold"):
        CannyRecipe(low_threshold=0.5, high_threshold=0.4)
    with pytest.raises(CheckpointError):
        built(tmp_path / "missing.safetensors")
    module = built(checkpoint)
    inputs = module.conditioner.conditional(batch(), torch.device("cpu"))
    with pytest.raises(ConfigError, match="shown nothing"):
        predicted(module, ConditionInputs(inputs.context))
