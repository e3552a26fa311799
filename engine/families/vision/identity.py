"""The handle behind the PHOTOMAKER socket, and opening its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError, NodeError
from engine.families.autoencoder.opening import shapes_of
from engine.families.known_layouts import describe_layout
from engine.families.vision.handle import clip_pixels
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.identity_encoder import IdentityEncoder
from engine.nn.vision_transformer import VisionConfig, vision_config
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import KeyRule, read_part, refuse_unknown_keys

__all__ = ["NetworkIdentity", "open_identity"]

_PREFIX = "id_encoder."
_LORA = r"lora_weights\..*"
"""The LoRA in the same file, which is for the LoRA loaders."""
_SECOND = f"{_PREFIX}visual_projection_2.weight"
_LATER = f"{_PREFIX}qformer_perceiver."
_RULES = (KeyRule(r"vision_model\.embeddings\.position_ids", ()),)
_WIDTHS_HELD = 12
"""Token maps of the network's width that a layer holds at once, for planning."""


@dataclass(frozen=True, slots=True)
class NetworkIdentity:
    """PhotoMaker's encoder."""

    config: VisionConfig
    context_width: int
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

    def fused(self, image: Tensor, tokens: Tensor) -> Tensor:
        """Portraits [n h w c] in [0, 1] and the vectors [n d] of the word that means the person → vectors [n d].

        Raises NodeError for vectors of another width.
        """
        if tokens.shape[-1] != self.context_width:
            raise NodeError(
                f"This PhotoMaker takes text of width {self.context_width}, got {tokens.shape[-1]}.",
                code="context_mismatch",
                hint="PhotoMaker is for Stable Diffusion XL: connect the CLIP of such a checkpoint.",
                input="clip",
            )
        device, dtype = self.host.device.torch, self.host.compute_dtype(self.source)
        pixels, moved = (value.to(device, dtype) for value in (clip_pixels(image, self.config.image_px), tokens))

        def forward(module: Any) -> Tensor:
            return module.fused(pixels, moved).float().cpu()

        needed = len(image) * self.config.num_tokens * self.config.width * _WIDTHS_HELD * dtype.itemsize
        return self.host.run(self.source, forward, activation_bytes=needed)


def open_identity(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkIdentity:
    """The encoder of a PhotoMaker file. Raises CheckpointError naming what the file is when it is none."""
    shapes = checkpoint.shapes
    config = vision_config(shapes, _PREFIX)
    is_later = any(key.startswith(_LATER) for key in shapes)
    if config is None or config.projection_width is None or len(shapes.get(_SECOND, ())) != 2 or is_later:
        found = "PhotoMaker of version 2" if is_later else describe_layout(shapes)
        raise CheckpointError(
            f"{checkpoint.path.name} is {found}, not a PhotoMaker file that is known here.",
            code="unknown_photomaker",
            hint="PhotoMaker of version 1 is read (photomaker-v1.bin); version 2 needs another program's face vectors.",
        )
    second = shapes[_SECOND][0]
    build = partial(IdentityEncoder, config, second)
    with torch.device("meta"):
        expected = shapes_of(build())
    reader = read_part(checkpoint, _PREFIX, expected, _RULES, "PhotoMaker encoder")
    ignored = (_LORA, r"id_encoder\.vision_model\.embeddings\.position_ids")
    refuse_unknown_keys(checkpoint, reader.used_keys, ignored)
    identity = digest_bytes(checkpoint.identity.encode(), b"photomaker")
    source = NetworkSource(identity, "text_encoder", build, reader, file=checkpoint.path.name)
    return NetworkIdentity(config, config.projection_width + second, source, host, digest)
