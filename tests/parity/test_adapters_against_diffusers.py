"""LoRA by diffusers' own module names, added to the weights of diffusers' U-Nets, against our loader."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.families.adapters.fitting import open_adapter
from engine.nn.unet import UNetConfig
from engine.weights.adapters.tensors import HeldTensors
from tests.adapter_handles import unet_handle
from tests.parity.test_networks_against_diffusers import SD1, SD2, ours_from, relative_error, their_unet

torch.set_num_threads(1)
RANK, ALPHA = 3, 2.0


def lora_for(theirs: nn.Module, is_kohya: bool) -> dict[str, torch.Tensor]:
    """A random adapter for every matrix and kernel, by names made from diffusers' modules."""
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    for name, module in theirs.named_modules():
        if not isinstance(module, (nn.Linear, nn.Conv2d)):
            continue
        shape = module.weight.shape
        key = f"lora_unet_{name.replace('.', '_')}" if is_kohya else f"unet.{name}"
        up, down = ("lora_up", "lora_down") if is_kohya else ("lora_B", "lora_A")
        kernel = (1,) * (len(shape) - 2)
        tensors[f"{key}.{up}.weight"] = torch.randn(shape[0], RANK, *kernel, generator=generator) * 0.1
        tensors[f"{key}.{down}.weight"] = torch.randn(RANK, *shape[1:], generator=generator) * 0.1
        if is_kohya:
            tensors[f"{key}.alpha"] = torch.tensor(ALPHA)
    return tensors


def merge(theirs: nn.Module, tensors: dict[str, torch.Tensor], is_kohya: bool) -> None:
    for name, module in theirs.named_modules():
        key = f"lora_unet_{name.replace('.', '_')}" if is_kohya else f"unet.{name}"
        up, down = ("lora_up", "lora_down") if is_kohya else ("lora_B", "lora_A")
        if f"{key}.{up}.weight" in tensors:
            product = tensors[f"{key}.{up}.weight"].flatten(1) @ tensors[f"{key}.{down}.weight"].flatten(1)
            module.weight.add_(product.reshape(module.weight.shape), alpha=ALPHA / RANK if is_kohya else 1.0)


@pytest.mark.parametrize("config", [SD1, SD2], ids=["sd1", "sd2"])
@pytest.mark.parametrize("is_kohya", [True, False], ids=["kohya", "peft"])
def test_a_lora_changes_our_network_as_it_changes_that_of_diffusers(config: UNetConfig, is_kohya: bool) -> None:
    theirs = their_unet(config, 16)
    ours = ours_from(theirs, config)
    tensors = lora_for(theirs, is_kohya)
    warnings: list[str] = []
    handle, _ = open_adapter("x", HeldTensors(tensors)).apply(unet_handle(ours, config), None, warn=warnings.append)
    assert warnings == []
    generator = torch.Generator().manual_seed(5)
    x, context = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 9, 24, generator=generator)
    steps = torch.tensor([900.0, 20.0])
    before = theirs(x, steps, context).sample
    merge(theirs, tensors, is_kohya)
    ours.load_state_dict({name: handle.patches.apply(name, w.clone()) for name, w in ours.state_dict().items()})
    wanted = theirs(x, steps, context).sample
    assert relative_error(wanted, before) > 0.1
    assert relative_error(ours(x, steps, context), wanted) < 2e-5
