"""Stable Diffusion 1.x as a family: opens its checkpoints as MODEL, CLIP and VAE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from engine.core.digest import digest_bytes
from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.autoencoder.opening import open_kl_part, shapes_of
from engine.families.contract import FamilyMatch, FamilyServices, OpenedCheckpoint
from engine.families.denoiser import NetworkDenoiser
from engine.families.sd1.config import Sd1Config
from engine.families.sd1.detect import FAMILY, detect
from engine.families.sd1.keys import HARMLESS_KEYS, TEXT_RULES, ema_keys
from engine.families.sd1.network import LATENT_FORMAT, Sd1Form, parameterization
from engine.families.sd1.text import ADAPTER_NAMES, CHUNKS, ENCODER_KEY
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.memory.network import NetworkSource
from engine.nn.text_transformer import TextTransformer
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import WeightReader, read_part, refuse_unknown_keys

__all__ = ["Sd1Family", "family"]


@dataclass(frozen=True, slots=True)
class Sd1Family:
    """Versions 1.1 to 1.5, their fine-tunes, inpainting and instructed editing."""

    name: str = FAMILY

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes."""
        return detect(shapes)

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file; all keys must be known."""
        config: Sd1Config = match.config

        def digest() -> str:
            return services.digest(checkpoint.path)

        model, unet_reader = _open_unet(checkpoint, config, services, digest)
        clip, text_reader = _open_text(checkpoint, config, services, digest)
        vae: NetworkAutoencoder | None = None
        vae_reader: WeightReader | None = None
        if config.autoencoder is not None:
            vae, vae_reader = open_kl_part(checkpoint, "first_stage_model.", services.host("vae"), digest)
        used = {
            key for reader in (unet_reader, text_reader, vae_reader) if reader is not None for key in reader.used_keys
        }
        refuse_unknown_keys(checkpoint, used | ema_keys(unet_reader.specs), HARMLESS_KEYS)
        return OpenedCheckpoint(FAMILY, model, clip, vae)


def family() -> Sd1Family:
    """The family, for the registry."""
    return Sd1Family()


def _open_unet(
    checkpoint: Checkpoint, config: Sd1Config, services: FamilyServices, digest: Callable[[], str]
) -> tuple[NetworkDenoiser, WeightReader]:
    form = Sd1Form(config.unet)
    with torch.device("meta"):
        expected = shapes_of(form.build())
    reader = read_part(checkpoint, config.unet_prefix, expected, what="U-Net")
    source = NetworkSource(_part_identity(checkpoint, "unet"), "network", form.build, reader, repeats=True)
    handle = NetworkDenoiser(
        FAMILY, form, LATENT_FORMAT, parameterization(config.predicts_v), source, services.host("network"), digest
    )
    return handle, reader


def _open_text(
    checkpoint: Checkpoint, config: Sd1Config, services: FamilyServices, digest: Callable[[], str]
) -> tuple[ClipTextEncoder | None, WeightReader | None]:
    text = config.text
    if text is None:
        return None, None
    with torch.device("meta"):
        expected = shapes_of(TextTransformer(text))
    reader = read_part(checkpoint, "cond_stage_model.transformer.", expected, TEXT_RULES, "text encoder")
    source = NetworkSource(_part_identity(checkpoint, "text"), "text_encoder", lambda: TextTransformer(text), reader)
    host = services.host("text_encoder")
    encoder = ClipTextEncoder(
        FAMILY, ENCODER_KEY, text, CHUNKS, source, host, services.text, digest, adapter_names=ADAPTER_NAMES
    )
    return encoder, reader


def _part_identity(checkpoint: Checkpoint, part: str) -> str:
    return digest_bytes(checkpoint.identity.encode(), part.encode())
