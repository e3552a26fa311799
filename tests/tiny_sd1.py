"""A small Stable Diffusion 1 checkpoint and a store to open it with, for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.families.model_store import ModelStore
from engine.families.registry import find_families
from engine.memory.device import cpu_device
from engine.memory.network import NetworkHost
from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.nn.unet import UNet, UNetConfig
from engine.weights.pickles import ConversionPolicy
from tests.untrained_sd1 import write_untrained_checkpoint

__all__ = ["host_with", "shallow_checkpoint", "store_on", "tiny_checkpoint"]


def tiny_checkpoint(folder: Path) -> Path:
    """The untrained checkpoint, written to a folder."""
    path = folder / "tiny.safetensors"
    if not path.exists():
        write_untrained_checkpoint(path)
    return path


def shallow_checkpoint(folder: Path) -> Path:
    """Stable Diffusion 1 with as few layers as its structure allows, for tests that train; weights are random."""
    path = folder / "shallow.safetensors"
    if path.exists():
        return path
    torch.manual_seed(0)
    unet = UNetConfig(4, 4, 32, (1, 2), 1, (1, 1), 1, 32)
    parts = {
        "model.diffusion_model.": UNet(unet),
        "cond_stage_model.transformer.": TextTransformer(TextConfig(32, 2, 1, 64)),
        "first_stage_model.": Autoencoder(AutoencoderConfig(32, (1, 1, 1, 1), 1, 4)),
    }
    tensors = {}
    for prefix, part in parts.items():
        for name, weight in part.state_dict().items():
            if weight.ndim == 1:
                tensors[prefix + name] = torch.full_like(weight, float(name.endswith("weight")))
            else:
                spread = 0.1 if "embedding" in name else weight[0].numel() ** -0.5
                tensors[prefix + name] = torch.randn(weight.shape) * spread
    save_file(tensors, path)
    return path


def host_with(budget_bytes: int = 1 << 30) -> NetworkHost:
    """The CPU as a device with this much memory."""
    return NetworkHost(cpu_device(), budget_bytes)


def store_on(host: NetworkHost, *, embeddings: Path | None = None, converted: Path | None = None) -> ModelStore:
    """A store whose networks all run on one host."""
    return ModelStore(
        {"network": host, "text_encoder": host, "vae": host},
        find_families(),
        embeddings=() if embeddings is None else (embeddings,),
        conversion=None if converted is None else ConversionPolicy(converted),
    )
