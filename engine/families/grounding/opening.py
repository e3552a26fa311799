"""Opening GLIGEN files: those pruned to what GLIGEN adds to a U-Net."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import nn

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.families.autoencoder.opening import shapes_of
from engine.families.grounding.handle import NetworkGrounding
from engine.families.known_layouts import describe_layout
from engine.families.unet.sizes import Shapes
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.grounding import GatedAttention, PositionNet, PositionNetConfig
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import KeyRule, read_part

__all__ = ["open_grounding"]

_POSITION_NET = "position_net."
_FUSER = re.compile(r"(.+\.transformer_blocks\.\d+)\.fuser\.linear\.weight")
_NUMBERS_PER_FREQUENCY = 8
"""Sine and cosine of a box's four numbers."""


def open_grounding(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkGrounding:
    """The GLIGEN of a file. Reads headers only. Raises CheckpointError naming what it holds, or which keys misfit."""
    shapes = checkpoint.shapes
    config, fusers = _position_net(shapes), _fusers(shapes)
    if config is None or not fusers:
        raise CheckpointError(
            f"{checkpoint.path.name} is {describe_layout(shapes)}, not a GLIGEN file that is known here.",
            code="unknown_grounding",
            hint="Text-box GLIGEN files for Stable Diffusion 1, pruned to position_net and fuser keys, are read.",
        )

    def build() -> nn.Module:
        return PositionNet(config)

    with torch.device("meta"):
        expected = shapes_of(build())
        gates = {
            f"{block}.fuser.{name}": shape
            for block, (width, object_width) in fusers.items()
            for name, shape in shapes_of(GatedAttention(width, object_width, 1)).items()
        }
    reader = read_part(checkpoint, _POSITION_NET, expected, (), "GLIGEN position net")
    drop = (KeyRule(rf"{re.escape(_POSITION_NET)}.*", ()),)
    gate_reader = read_part(checkpoint, "", gates, drop, "GLIGEN gated attention")
    identity = digest_bytes(checkpoint.identity.encode(), b"grounding")
    source = NetworkSource(identity, "network", build, reader, file=checkpoint.path.name)
    return NetworkGrounding(config, source, host, fusers, gate_reader, digest)


def _position_net(shapes: Shapes) -> PositionNetConfig | None:
    text, position = (shapes.get(f"{_POSITION_NET}null_{name}_feature", ()) for name in ("positive", "position"))
    first, last = (shapes.get(f"{_POSITION_NET}linears.{number}.weight", ()) for number in (0, 4))
    if (len(text), len(position), len(first), len(last)) != (1, 1, 2, 2):
        return None
    return PositionNetConfig(text[0], first[0], last[0], position[0] // _NUMBERS_PER_FREQUENCY)


def _fusers(shapes: Shapes) -> dict[str, tuple[int, int]]:
    """Transformer block → (width of its cells, width of the objects)."""
    return {
        match[1]: (shape[0], shape[1])
        for key, shape in shapes.items()
        if (match := _FUSER.fullmatch(key)) and len(shape) == 2
    }
