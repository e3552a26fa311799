"""Opening the text encoders of a file."""

from __future__ import annotations

from collections.abc import Callable

import torch

from engine.core.digest import digest_bytes
from engine.families.autoencoder.opening import shapes_of
from engine.families.contract import FamilyServices
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.clip_form import CLIP_L, CLIP_RULES, ClipKind, read_clip_config
from engine.memory.network import NetworkSource
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import WeightReader, read_part
from engine.weights.scaled import scaling_of

__all__ = ["CLIP_G_WIDTH", "CLIP_H_WIDTH", "clip_width", "open_clip_file", "open_clip_part"]

CLIP_H_WIDTH, CLIP_G_WIDTH = 1024, 1280
"""Widths of OpenCLIP's encoders, by which files are told apart; any other is taken for OpenAI's."""


def open_clip_part(
    checkpoint: Checkpoint,
    prefix: str,
    family: str,
    kind: ClipKind,
    config: TextConfig,
    services: FamilyServices,
    digest: Callable[[], str],
) -> tuple[ClipTextEncoder, WeightReader]:
    """The text encoder below `prefix` and the reader that knows its keys. Raises CheckpointError."""
    with torch.device("meta"):
        expected = shapes_of(TextTransformer(config))
    reader = read_part(checkpoint, prefix, expected, CLIP_RULES, "text encoder", takes_scales=True)
    identity = digest_bytes(checkpoint.identity.encode(), b"text", prefix.encode(), repr((kind, config)).encode())
    source = NetworkSource(identity, "text_encoder", lambda: TextTransformer(config), reader, file=checkpoint.path.name)
    encoder = ClipTextEncoder(
        family,
        kind.key,
        config,
        kind.form,
        source,
        services.host("text_encoder"),
        services.text,
        digest,
        patches=scaling_of(reader),
        adapter_names=kind.adapter_names,
        default_layer=kind.default_layer_of(config.num_layers),
    )
    return encoder, reader


def open_clip_file(
    checkpoint: Checkpoint, family: str, kind: ClipKind, services: FamilyServices
) -> ClipTextEncoder | None:
    """The text encoder of a file that holds no other; None when it has none. Raises CheckpointError for other keys."""
    config = read_clip_config(checkpoint.shapes, "", kind)
    if config is None:
        return None
    return open_clip_part(checkpoint, "", family, kind, config, services, lambda: services.digest(checkpoint.path))[0]


def clip_width(checkpoint: Checkpoint) -> int | None:
    """Width of the text encoder a file holds, which tells the published ones apart; None when it holds none."""
    config = read_clip_config(checkpoint.shapes, "", CLIP_L)
    return None if config is None else config.width
