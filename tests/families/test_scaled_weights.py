"""Files of eight-bit weights with scales beside them: the same model as the file of the products."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.training.adapters.base_model import BaseModelRecipe
from engine.training.adapters.checkpoint_export import CheckpointExportRecipe
from engine.training.adapters.fine_tune import FineTuneRecipe
from engine.training.context import BuildContext
from engine.weights.checkpoint import open_checkpoint
from engine.weights.conversion import converted_weights
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)

NETWORK = "model.diffusion_model."
TEXT = "cond_stage_model.transformer."


def scaled_files(folder: Path) -> tuple[Path, Path]:
    """A file of eight-bit matrices with scales, of whole tensors and of rows, and one of their products."""
    scaled: dict[str, torch.Tensor] = {f"{NETWORK}scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    products: dict[str, torch.Tensor] = {}
    for number, (key, weight) in enumerate(load_file(shallow_checkpoint(folder)).items()):
        is_matrix = weight.ndim == 2 and key.endswith(".weight") and "embedding" not in key
        if not is_matrix or not key.startswith((NETWORK, TEXT)):
            scaled[key] = products[key] = weight
            continue
        largest = weight.abs().amax(dim=1, keepdim=True) if number % 2 else weight.abs().max()
        scale = largest / 400.0
        stored = (weight / scale).to(torch.float8_e4m3fn)
        module = key.removesuffix(".weight")
        scaled |= {key: stored, f"{module}.scale_weight": scale, f"{module}.scale_input": torch.ones(1)}
        products[key] = stored.float() * scale
    paths = folder / "scaled.safetensors", folder / "products.safetensors"
    for path, tensors in zip(paths, (scaled, products)):
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    return paths


@pytest.mark.parametrize("budget_bytes", [1 << 30, 3 << 20])
def test_scaled_weights_are_their_products_whether_kept_or_streamed(budget_bytes: int, tmp_path: Path) -> None:
    store = store_on(host_with(budget_bytes))
    (model, clip, _), (wanted, other, _) = (store.open_checkpoint(path) for path in scaled_files(tmp_path))
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
    inputs = ConditionInputs(context=torch.randn(1, 5, 32))
    assert torch.allclose(model.denoise(x, sigma, inputs), wanted.denoise(x, sigma, inputs), atol=1e-5)
    assert torch.allclose(clip.encode("a fox").context, other.encode("a fox").context, atol=1e-5)


def test_a_saved_scaled_model_holds_the_products(tmp_path: Path) -> None:
    store = store_on(host_with())
    scaled, products = scaled_files(tmp_path)
    store.checkpoint_file(*store.open_checkpoint(scaled), title="saved").write(tmp_path / "saved.safetensors")
    found, wanted = load_file(tmp_path / "saved.safetensors"), load_file(products)
    assert set(found) == set(wanted)
    for key, weight in wanted.items():
        assert torch.allclose(found[key].float(), weight, rtol=2**-10, atol=1e-7), key


def test_a_file_converted_to_another_dtype_holds_the_products_and_no_scales(tmp_path: Path) -> None:
    scaled, products = scaled_files(tmp_path)
    with open_checkpoint(scaled) as file:
        converted_weights(file, dtype=torch.float32).write(tmp_path / "plain.safetensors")
    found, wanted = load_file(tmp_path / "plain.safetensors"), load_file(products)
    assert set(found) == set(wanted)
    assert all(torch.equal(found[key], weight) for key, weight in wanted.items())


def test_a_scale_without_its_weight_is_an_unknown_key(tmp_path: Path) -> None:
    scaled, _ = scaled_files(tmp_path)
    tensors = {**load_file(scaled), f"{NETWORK}nowhere.scale_weight": torch.ones(1)}
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match=r"nowhere\.scale_weight"):
        store_on(host_with()).open_checkpoint(tmp_path / "odd.safetensors")


def test_training_begins_with_the_products_and_its_files_have_no_scales_left_over(tmp_path: Path) -> None:
    scaled, products = scaled_files(tmp_path)
    recipe = FineTuneRecipe("fine_tune", BaseModelRecipe(scaled))
    module = recipe.build(BuildContext(tmp_path))
    wanted, trained = load_file(products), dict(module.network.named_parameters())
    for name, weight in trained.items():
        assert torch.equal(weight.detach(), wanted[NETWORK + name].float()), name
    frozen = recipe.base.open(BuildContext(tmp_path)).texts().values()
    for name, weight in next(iter(frozen)).named_parameters():
        assert torch.equal(weight, wanted[TEXT + name].float()), name
    CheckpointExportRecipe("checkpoint", dtype="fp32").write(module, tmp_path / "trained.safetensors", {})
    found = load_file(tmp_path / "trained.safetensors")
    assert not [key for key in found if key.startswith(NETWORK) and "scale" in key]
    assert torch.equal(found[f"{NETWORK}time_embed.0.weight"], wanted[f"{NETWORK}time_embed.0.weight"].float())
    model, clip, _ = store_on(host_with()).open_checkpoint(tmp_path / "trained.safetensors")
    original = store_on(host_with()).open_checkpoint(products)
    x, sigma, inputs = torch.randn(1, 4, 8, 8), torch.tensor([2.0]), ConditionInputs(context=torch.randn(1, 5, 32))
    assert torch.allclose(model.denoise(x, sigma, inputs), original[0].denoise(x, sigma, inputs), atol=1e-5)
    assert torch.allclose(clip.encode("a fox").context, original[1].encode("a fox").context, atol=1e-5)
