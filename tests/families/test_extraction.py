"""A LoRA made of the difference of two models: put on the first, it gives the second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError
from nodes.merge import subtract_clips, subtract_models
from tests.families.test_merging import Listener, second_file
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("extraction")
    shallow_checkpoint(folder)
    second_file(folder)
    return store_on(host_with()), folder


def extracted(opened: tuple[Any, Path], second: str = "second.safetensors", **options: Any) -> tuple[Any, Any, Any]:
    """The LoRA of the difference, and the two models."""
    store, folder = opened
    first, other = (store.open_checkpoint(folder / name) for name in ("shallow.safetensors", second))
    model = subtract_models(other[0], first[0], Listener())
    clip = subtract_clips(other[1], first[1], Listener())
    path = folder / "extracted.safetensors"
    store.extracted_adapter_file(model, clip, **options).write(path)
    return store.open_adapter(path).apply(first[0], first[1], warn=pytest.fail), first, other


@pytest.mark.parametrize("kind", ["standard", "full_diff"])
def test_the_whole_difference_makes_the_first_model_the_second(opened: tuple[Any, Path], kind: str) -> None:
    patched, _, wanted = extracted(opened, rank=4096, kind=kind, biases=True)
    for found, other in zip(patched, wanted[:2], strict=True):
        for name in other.weights.specs:
            assert torch.allclose(found.weights.read(name), other.weights.read(name), atol=2e-3), name


def test_thin_matrices_are_the_strongest_directions_and_biases_may_stay_out(opened: tuple[Any, Path]) -> None:
    name = "input_blocks.1.1.proj_in.weight"
    patched, first, wanted = extracted(opened, rank=4, kind="standard", biases=False)
    before, after = first[0].weights.read(name), wanted[0].weights.read(name)
    left = (patched[0].weights.read(name) - after).flatten(1)
    values = torch.linalg.svdvals((after - before).flatten(1))
    assert float(left.norm()) == pytest.approx(float(values[4:].norm()), rel=1e-2)
    assert torch.equal(patched[0].weights.read("out.2.bias"), first[0].weights.read("out.2.bias"))
    keys = load_file(opened[1] / "extracted.safetensors")
    assert keys["lora_unet_conv_in.lora_down.weight"].shape == (4, 4, 3, 3)
    assert all(weight.dtype == torch.float16 for weight in keys.values())


def test_a_difference_of_rank_two_is_found_whole_by_two_directions(opened: tuple[Any, Path]) -> None:
    folder, key = opened[1], "model.diffusion_model.input_blocks.1.1.proj_in.weight"
    tensors = load_file(folder / "shallow.safetensors")
    torch.manual_seed(2)
    shape = tensors[key].shape
    tensors[key] = tensors[key] + (torch.randn(shape[0], 2) @ torch.randn(2, shape[1])).view(shape)
    save_file(tensors, folder / "near.safetensors")
    patched, _, wanted = extracted(opened, "near.safetensors", rank=2, kind="standard", biases=True)
    name = key.removeprefix("model.diffusion_model.")
    assert torch.allclose(patched[0].weights.read(name), wanted[0].weights.read(name), atol=1e-2)


def test_nothing_to_save_is_an_error_that_says_what_to_connect(opened: tuple[Any, Path]) -> None:
    with pytest.raises(CheckpointError, match="no difference") as caught:
        opened[0].extracted_adapter_file(None, None, rank=8, kind="standard", biases=True)
    assert "ModelMergeSubtract" in caught.value.hint
