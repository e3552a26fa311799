"""What a model family gives the rest of the engine: detection, and immutable handles for MODEL, CLIP and VAE.

A handle is a node value. It is cheap to hold and to copy, never changes after it was made (`with_*` return new ones),
and owns no weights: those belong to the residency of the worker, which loads them when a method needs them. Two handles
with equal `identity` compute the same function, so their forwards may be merged into one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch

if TYPE_CHECKING:
    from engine.diffusion.parameterization import Parameterization
    from engine.memory.network import NetworkHost
    from engine.weights.checkpoint import Checkpoint
    from engine.weights.patches import PatchSet

__all__ = [
    "ConditionInputs",
    "Family",
    "FamilyMatch",
    "LatentFormat",
    "ModelHandle",
    "OpenedCheckpoint",
    "TextEncoderHandle",
    "TextEncoding",
    "TokenBatches",
    "VaeHandle",
    "Warn",
]

TokenBatches = Mapping[str, Sequence[Sequence[tuple[Any, ...]]]]
"""Encoder name ("l", "g" …) → chunks → (token id or embedding vector, weight[, word number])."""


class Warn(Protocol):
    """Takes one sentence for the user of the node that runs; the work goes on."""

    def __call__(self, message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class LatentFormat:
    """How latents of a family are stored, scaled and shown.

    A node's latent is the autoencoder's own scale; the network sees `(latent - shift) * scale`.
    `rgb_factors` [channels][3] and `rgb_bias` [3] map a network-scale latent to a rough picture in [-1, 1].
    """

    name: str
    num_channels: int
    downscale: int
    scale: float
    shift: float = 0.0
    rgb_factors: tuple[tuple[float, float, float], ...] = ()
    rgb_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def to_network(self, latent: torch.Tensor) -> torch.Tensor:
        """Autoencoder scale → network scale."""
        return (latent - self.shift) * self.scale

    def from_network(self, latent: torch.Tensor) -> torch.Tensor:
        """Network scale → autoencoder scale."""
        return latent / self.scale + self.shift

    def preview(self, latent: torch.Tensor) -> torch.Tensor:
        """A rough picture [b h w 3] in [0, 1], float32, of a network-scale latent [b c h w]; no network runs."""
        factors = torch.tensor(self.rgb_factors, dtype=torch.float32, device=latent.device)
        bias = torch.tensor(self.rgb_bias, dtype=torch.float32, device=latent.device)
        rgb = torch.einsum("bchw,cr->bhwr", latent.float(), factors) + bias
        return ((rgb + 1) / 2).clamp(0, 1)


@dataclass(frozen=True, slots=True)
class ConditionInputs:
    """What a batched forward is conditioned on, already one row per item of the batch.

    `context` [b n d] is the text; `vector` [b k] the pooled text, size and time features of families that have them;
    `concat` [b c h w] is joined to the latent's channels (mask and masked image of inpainting networks).
    `options` are what hooks of a single forward need; only requests with the same object may be merged.
    """

    context: torch.Tensor | None = None
    vector: torch.Tensor | None = None
    concat: torch.Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """A text as the network sees it: `context` [1 n d] float32 on the CPU and, if there is one, `pooled` [1 k]."""

    context: torch.Tensor
    pooled: torch.Tensor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class ModelHandle(Protocol):
    """MODEL: a denoising network with the facts a sampler needs."""

    @property
    def family(self) -> str:
        """Folder name of the family, e.g. "sd1"."""
        ...

    @property
    def identity(self) -> str:
        """Equal identity, equal function: file, part, patches, parameterization. Cheap; part of every batch key."""
        ...

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from; reads the file on the first call unless it is known."""
        ...

    @property
    def latent_format(self) -> LatentFormat: ...

    @property
    def parameterization(self) -> Parameterization:
        """What the network predicts, with its sigma table."""
        ...

    @property
    def in_channels(self) -> int:
        """Channels of the network's input: latent channels plus those of `ConditionInputs.concat`."""
        ...

    @property
    def context_width(self) -> int:
        """Width of `ConditionInputs.context`."""
        ...

    def denoise(self, x: torch.Tensor, sigma: torch.Tensor, inputs: ConditionInputs) -> torch.Tensor:
        """One batched forward: x [b c h w] float32 at network scale, sigma [b] → denoised [b c h w] float32.

        The answer is on x's device. Raises OutOfMemory when even the smallest plan does not fit.
        """
        ...

    def activation_bytes(self, batch_size: int, height: int, width: int) -> int:
        """Estimated peak of memory, weights excluded, for a latent of this height and width."""
        ...

    def with_parameterization(self, parameterization: Parameterization) -> ModelHandle: ...

    def with_patches(self, patches: PatchSet) -> ModelHandle:
        """The same network with weight patches added to those it has."""
        ...


class TextEncoderHandle(Protocol):
    """CLIP: one or more text encoders behind one tokenizer interface."""

    @property
    def family(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def content_digest(self) -> str: ...

    @property
    def last_layer(self) -> int | None:
        """Negative number of the layer whose output is used, None for the family's own choice."""
        ...

    def with_last_layer(self, last_layer: int) -> TextEncoderHandle:
        """Stop at this layer, counted from the end (-1 is the last). The final norm is always applied."""
        ...

    def with_patches(self, patches: PatchSet) -> TextEncoderHandle: ...

    def tokenize(self, text: str, *, word_ids: bool = False, warn: Warn | None = None) -> TokenBatches:
        """Weighted tokens in padded chunks; `embedding:name` becomes vectors, a missing one a warning."""
        ...

    def encode_tokens(self, tokens: TokenBatches) -> TextEncoding: ...

    def encode(self, text: str, *, warn: Warn | None = None) -> TextEncoding:
        """`encode_tokens(tokenize(text))`."""
        ...


class VaeHandle(Protocol):
    """VAE: pixels ↔ latents. Images are float32 [b h w 3] in [0, 1], latents float32 [b c h w], both on the CPU."""

    @property
    def identity(self) -> str: ...

    @property
    def content_digest(self) -> str: ...

    @property
    def num_latent_channels(self) -> int: ...

    @property
    def downscale(self) -> int:
        """Pixels per latent cell."""
        ...

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent → image; falls back to tiles when memory does not suffice."""
        ...

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Image → latent. Sizes are cropped centrally to whole latent cells; a fourth channel is ignored."""
        ...

    def decode_tiled(self, latent: torch.Tensor, *, tile: int, overlap: int) -> torch.Tensor:
        """As `decode` in blended tiles; sizes in latent cells."""
        ...

    def encode_tiled(self, image: torch.Tensor, *, tile: int, overlap: int) -> torch.Tensor:
        """As `encode` in blended tiles; sizes in pixels."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedCheckpoint:
    """What a checkpoint file holds; a part it lacks is None."""

    family: str
    model: ModelHandle | None
    clip: TextEncoderHandle | None
    vae: VaeHandle | None


@dataclass(frozen=True, slots=True)
class FamilyMatch:
    """A family recognised a file: the sizes it read from the key shapes, and a sentence that says what it is."""

    family: str
    config: Any
    description: str


@runtime_checkable
class Family(Protocol):
    """One folder of `families/`; its `family.py` has a function `family()` that returns one of these."""

    @property
    def name(self) -> str: ...

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes alone; None if it is another family's."""
        ...

    def open(
        self,
        checkpoint: Checkpoint,
        match: FamilyMatch,
        host: NetworkHost,
        embeddings: Sequence[Path],
    ) -> OpenedCheckpoint:
        """Handles for the parts of the file. Reads no tensor. Raises CheckpointError for missing or unknown keys."""
        ...

    def untrained_shapes(self) -> Iterable[str]:
        """Keys that tell this family from others, for error messages."""
        ...
