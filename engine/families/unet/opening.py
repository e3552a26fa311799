"""Opening the U-Net of a file."""

from __future__ import annotations

from collections.abc import Callable

import torch

from engine.core.digest import digest_bytes
from engine.diffusion.parameterization import Parameterization
from engine.families.autoencoder.opening import shapes_of
from engine.families.contract import FamilyServices
from engine.families.denoiser import NetworkDenoiser
from engine.families.unet.form import UNetForm
from engine.memory.network import NetworkSource
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import WeightReader, read_part

__all__ = ["open_unet_part"]


def open_unet_part(
    checkpoint: Checkpoint,
    prefix: str,
    family: str,
    form: UNetForm,
    parameterization: Parameterization,
    services: FamilyServices,
    digest: Callable[[], str],
) -> tuple[NetworkDenoiser, WeightReader]:
    """The U-Net below `prefix` as a MODEL, and the reader that knows its keys. Raises CheckpointError."""
    with torch.device("meta"):
        expected = shapes_of(form.build())
    reader = read_part(checkpoint, prefix, expected, what="U-Net")
    identity = digest_bytes(checkpoint.identity.encode(), b"unet")
    source = NetworkSource(identity, "network", form.build, reader, repeats=True)
    handle = NetworkDenoiser(
        family, form, form.latent_format, parameterization, source, services.host("network"), digest
    )
    return handle, reader
