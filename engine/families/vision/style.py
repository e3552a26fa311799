"""The handle behind the STYLE_MODEL socket, and opening its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError, NodeError
from engine.families.autoencoder.opening import shapes_of
from engine.families.known_layouts import describe_layout
from engine.families.vision.handle import PictureEncoding
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.style_adapter import StyleAdapter, StyleAdapterConfig
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import KeyRule, read_part, refuse_unknown_keys

__all__ = ["NetworkStyle", "open_style"]

_LAYER = r"transformer_layes\.(\d+)\."  # as the published files spell it
_TARGET = r"transformer.layers.\1."
_RULES = (
    KeyRule(_LAYER + r"ln_([12])\.(.*)", (_TARGET + r"layer_norm\2.\3",)),
    KeyRule(
        _LAYER + r"attn\.in_proj_(weight|bias)",
        tuple(_TARGET + rf"self_attn.{part}_proj.\2" for part in ("q", "k", "v")),
    ),
    KeyRule(_LAYER + r"attn\.out_proj\.(.*)", (_TARGET + r"self_attn.out_proj.\2",)),
    KeyRule(_LAYER + r"mlp\.c_fc\.(.*)", (_TARGET + r"mlp.fc1.\2",)),
    KeyRule(_LAYER + r"mlp\.c_proj\.(.*)", (_TARGET + r"mlp.fc2.\2",)),
)
_WIDTHS_HELD = 12


@dataclass(frozen=True, slots=True)
class NetworkStyle:
    """A style adapter."""

    config: StyleAdapterConfig
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    digest: Callable[[], str] = field(repr=False)

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return self.source.identity

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    def tokens(self, picture: PictureEncoding) -> Tensor:
        """[1 n d] float32 on the CPU: the style tokens of all pictures, one after the other.

        Raises NodeError for pictures seen by an encoder of another width.
        """
        seen = picture.last_hidden_state
        if seen.ndim != 3 or seen.shape[2] != self.config.width:
            raise NodeError(
                f"This style model reads pictures of width {self.config.width}, got {list(seen.shape)}.",
                code="style_mismatch",
                hint="Encode the picture with CLIP vision L.",
            )
        device, dtype = self.host.device.torch, self.host.compute_dtype(self.source)
        moved = seen.to(device, dtype)

        def forward(module: Any) -> Tensor:
            return module(moved).float().cpu()

        needed = seen.numel() * _WIDTHS_HELD * dtype.itemsize
        return self.host.run(self.source, forward, activation_bytes=needed).flatten(0, 1)[None]


def open_style(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkStyle:
    """The style adapter of a file. Raises CheckpointError naming what the file is when it is none."""
    shapes = checkpoint.shapes
    own, projection = shapes.get("style_embedding", ()), shapes.get("proj", ())
    inner = shapes.get("transformer_layes.0.mlp.c_fc.weight", ())
    if (len(own), len(projection), len(inner)) != (3, 2, 2):
        raise CheckpointError(
            f"{checkpoint.path.name} is {describe_layout(shapes)}, not a style model that is known here.",
            code="unknown_style_model",
            hint="The style adapter of T2I-Adapter for Stable Diffusion 1 is read.",
        )
    num_layers = 0
    while f"transformer_layes.{num_layers}.mlp.c_fc.weight" in shapes:
        num_layers += 1
    config = StyleAdapterConfig(own[2], projection[1], own[1], num_layers, inner[0])
    with torch.device("meta"):
        expected = shapes_of(StyleAdapter(config))
    reader = read_part(checkpoint, "", expected, _RULES, "style model")
    refuse_unknown_keys(checkpoint, reader.used_keys, ())
    identity = digest_bytes(checkpoint.identity.encode(), b"style")
    source = NetworkSource(identity, "text_encoder", lambda: StyleAdapter(config), reader, file=checkpoint.path.name)
    return NetworkStyle(config, source, host, digest)
