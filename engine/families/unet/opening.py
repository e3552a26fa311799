"""Opening the parts of a checkpoint around a U-Net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from engine.core.digest import digest_bytes
from engine.diffusion.parameterization import Parameterization
from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.autoencoder.opening import open_kl_part, shapes_of
from engine.families.contract import FamilyServices, OpenedCheckpoint
from engine.families.denoiser import NetworkDenoiser
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.clip_form import ClipKind
from engine.families.text.clip_pair import ClipPair
from engine.families.text.opening import open_clip_part
from engine.families.unet.form import UNetForm
from engine.families.unet.grey import grey_picture
from engine.families.unet.guidance import as_distilled
from engine.families.unet.keys import HARMLESS_KEYS, ema_keys, harmless_text_keys
from engine.memory.network import NetworkSource
from engine.nn.autoencoder import AutoencoderConfig
from engine.nn.text_transformer import TextConfig
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import WeightReader, read_part, refuse_unknown_keys
from engine.weights.scaled import scaling_of

__all__ = ["TextPart", "UNetPart", "open_unet_checkpoint", "open_unet_part", "with_autoencoder"]

_AUTOENCODER_PREFIX = "first_stage_model."


@dataclass(frozen=True, slots=True)
class UNetPart:
    """The U-Net of a file: where its keys begin, how it is called, and what it predicts."""

    prefix: str
    form: UNetForm
    parameterization: Parameterization


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text encoder of a file: where its keys begin, its kind, and its sizes."""

    prefix: str
    kind: ClipKind
    config: TextConfig


def open_unet_checkpoint(
    checkpoint: Checkpoint,
    family: str,
    unet: UNetPart,
    texts: Sequence[TextPart],
    autoencoder: AutoencoderConfig | None,
    services: FamilyServices,
    harmless: Sequence[str] = (),
    used_elsewhere: Iterable[str] = (),
) -> OpenedCheckpoint:
    """Handles for the parts of a file: its U-Net, the one or two text encoders, the autoencoder if there is one.

    harmless: patterns of keys this family's files may have beside those of every U-Net's file. used_elsewhere: keys of
    further parts, which the family opens.
    Raises CheckpointError for missing or unknown keys.
    """

    def digest() -> str:
        return services.digest(checkpoint.path)

    model, unet_reader = open_unet_part(checkpoint, family, unet, services, digest)
    readers: list[WeightReader] = [unet_reader]
    encoders: list[ClipTextEncoder] = []
    for part in texts:
        encoder, reader = open_clip_part(checkpoint, part.prefix, family, part.kind, part.config, services, digest)
        encoders.append(encoder)
        readers.append(reader)
    vae: NetworkAutoencoder | None = None
    if autoencoder is not None:
        vae, reader = open_kl_part(checkpoint, _AUTOENCODER_PREFIX, services.host("vae"), digest)
        readers.append(reader)
    model = with_autoencoder(model, vae)
    used = {key for reader in readers for key in reader.used_keys} | ema_keys(unet_reader.specs) | {*used_elsewhere}
    known = (*HARMLESS_KEYS, *harmless, *harmless_text_keys(*(part.prefix for part in texts)))
    refuse_unknown_keys(checkpoint, used, known)
    clip = ClipPair(*encoders) if len(encoders) == 2 else next(iter(encoders), None)
    return OpenedCheckpoint(family, model, clip, vae)


def open_unet_part(
    checkpoint: Checkpoint, family: str, part: UNetPart, services: FamilyServices, digest: Callable[[], str]
) -> tuple[NetworkDenoiser, WeightReader]:
    """The U-Net of a file as a MODEL, and the reader that knows its keys. Raises CheckpointError."""
    form = part.form
    with torch.device("meta"):
        expected = shapes_of(form.build())
    reader = read_part(checkpoint, part.prefix, expected, what="U-Net", takes_scales=True)
    identity = digest_bytes(checkpoint.identity.encode(), b"unet")
    source = NetworkSource(identity, "network", form.build, reader, repeats=True, file=checkpoint.path.name)
    handle = NetworkDenoiser(
        family,
        form,
        form.latent_format,
        as_distilled(part.parameterization) if form.config.guidance_width else part.parameterization,
        source,
        services.host("network"),
        digest,
        patches=scaling_of(reader),
    )
    return handle, reader


def with_autoencoder(model: NetworkDenoiser, vae: NetworkAutoencoder | None) -> NetworkDenoiser:
    """An inpainting network that knows how grey looks in its latents, if that can be told; others as they are."""
    form = model.form
    if not isinstance(form, UNetForm) or not form.is_inpainting:
        return model
    grey = grey_picture(form.latent_format, form.config.model_channels, vae)
    return replace(model, form=replace(form, grey=grey))
