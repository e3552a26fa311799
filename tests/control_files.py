"""Small control networks as files, in the forms they are published in, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from engine.families.control.layouts import LORA_MARK
from engine.families.control.opening import open_control
from engine.nn.control_net import ControlNet, ControlNetConfig
from engine.nn.feature_adapter import FeatureAdapter, FeatureAdapterConfig
from engine.nn.grounding import GatedAttention, PositionNet, PositionNetConfig
from engine.nn.unet import UNetConfig
from engine.weights.checkpoint import open_checkpoint
from tests.tiny_families import random_weights
from tests.tiny_sd1 import host_with

__all__ = [
    "HINTS",
    "SHALLOW",
    "adapter_file",
    "control_file",
    "gligen_file",
    "lora_file",
    "opened",
    "picture",
    "unet_weights",
]

SHALLOW = UNetConfig(4, 4, 32, (1, 2), 1, (1, 1), 1, 32)
"""The U-Net of `shallow_checkpoint`."""
HINTS = (3, 4, 8, 8, 12)


def control_file(folder: Path, *, seed: int = 0, name: str = "control", prefix: str = "control_model.") -> Path:
    """A ControlNet for `shallow_checkpoint` in published form, its weights random."""
    torch.manual_seed(seed)
    weights = random_weights(ControlNet(ControlNetConfig(SHALLOW, HINTS)))
    path = folder / f"{name}.safetensors"
    save_file({prefix + key: weight for key, weight in weights.items()}, path)
    return path


def adapter_file(folder: Path, *, seed: int = 0) -> Path:
    """A T2I-Adapter for `shallow_checkpoint`, its weights random."""
    torch.manual_seed(seed)
    path = folder / f"adapter_{seed}.safetensors"
    save_file(random_weights(FeatureAdapter(FeatureAdapterConfig(3, 8, (32, 64), 2, 1, False, (1,)))), path)
    return path


def gligen_file(folder: Path) -> Path:
    """A GLIGEN file for `shallow_checkpoint`: a fuser in one block on each side."""
    torch.manual_seed(6)
    position_net = random_weights(PositionNet(PositionNetConfig(32, 24, 20, 4)))
    weights = {f"position_net.{name}": weight for name, weight in position_net.items()}
    for block, width in (("input_blocks.1.1", 32), ("output_blocks.1.1", 64)):
        gate = random_weights(GatedAttention(width, 20, 8))
        gate.update(alpha_attn=torch.tensor(0.9), alpha_dense=torch.tensor(-0.6))
        weights.update({f"{block}.transformer_blocks.0.fuser.{name}": weight for name, weight in gate.items()})
    save_file(weights, folder / "gligen.safetensors")
    return folder / "gligen.safetensors"


def lora_file(folder: Path, base: Mapping[str, torch.Tensor], rank: int = 3) -> tuple[Path, Path]:
    """A control-LoRA for a U-Net of these weights, and the same network whole."""
    torch.manual_seed(5)
    stored, whole = {LORA_MARK: torch.zeros(0)}, {}
    for name, weight in random_weights(ControlNet(ControlNetConfig(SHALLOW, HINTS))).items():
        if weight.ndim < 2 or name not in base:
            stored[name] = whole[name] = weight
            continue
        thin = min(rank, *weight.shape[:2])
        up, down = torch.randn(weight.shape[0], thin) * 0.1, torch.randn(thin, *weight.shape[1:]) * 0.1
        module = name.removesuffix(".weight")
        stored[f"{module}.up"] = up.view(*up.shape, *(1,) * (weight.ndim - 2))
        stored[f"{module}.down"] = down
        whole[name] = base[name] + (up @ down.flatten(1)).view(weight.shape)
    paths = folder / "lora.safetensors", folder / "whole.safetensors"
    save_file(stored, paths[0])
    save_file(whole, paths[1])
    return paths


def opened(path: Path) -> Any:
    """The control of a file, on a host of its own."""
    return open_control(open_checkpoint(path), host_with(), lambda: "0" * 64)


def picture(seed: int = 3, size: int = 128, count: int = 1) -> torch.Tensor:
    """Noise as an image [n size size 3]."""
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(seed))


def unet_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights of a checkpoint's U-Net by its own names."""
    start = "model.diffusion_model."
    return {key.removeprefix(start): weight for key, weight in load_file(path).items() if key.startswith(start)}
