"""A small Stable Diffusion 1 checkpoint and a store to open it with, for tests."""

from __future__ import annotations

from pathlib import Path

from engine.families.model_store import ModelStore
from engine.families.registry import find_families
from engine.families.sd1.untrained import write_untrained_checkpoint
from engine.memory.device import cpu_device
from engine.memory.network import NetworkHost
from engine.weights.pickles import ConversionPolicy

__all__ = ["host_with", "store_on", "tiny_checkpoint"]


def tiny_checkpoint(folder: Path) -> Path:
    """The untrained checkpoint, written to a folder."""
    path = folder / "tiny.safetensors"
    if not path.exists():
        write_untrained_checkpoint(path)
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
