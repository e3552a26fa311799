"""What a model family gives the rest of the engine: detection, and immutable handles for MODEL, CLIP and VAE.

A handle is a node value. It is cheap to hold and to copy, never changes after it was made (`with_*` return new ones),
and owns no weights: those belong to the residency of the worker, which loads them when a method needs them. Two handles
with equal `identity` compute the same function, so their forwards may be merged into one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.denoiser import Denoiser
from engine.diffusion.guidance.guidance import Guidance
from engine.diffusion.latent_format import LatentFormat
from engine.nn.edits.edit import NetworkEdit

if TYPE_CHECKING:
    from engine.diffusion.parameterization import Parameterization
    from engine.families.text.clip_encoder import TextTools
    from engine.memory.network import NetworkHost
    from engine.memory.precision import Part
    from engine.weights.checkpoint import Checkpoint
    from engine.weights.patched import FinalWeights
    from engine.weights.patches import PatchSet

__all__ = [
    "ConditionInputs",
    "Family",
    "FamilyMatch",
    "FamilyServices",
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

    def __call__(self, message: str) -> None:
        """Tell the user."""
        ...


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """A text as the network sees it: `context` [1 n d] float32 on the CPU and, if there is one, `pooled` [1 k]."""

    context: torch.Tensor
    pooled: torch.Tensor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class ModelHandle(Denoiser, Protocol):
    """MODEL: a denoiser (identity, device, latent format, parameterization, condition, denoise) with family facts."""

    @property
    def family(self) -> str:
        """Folder name of the family, e.g. "sd1"."""
        ...

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from; reads the file on the first call unless it is known."""
        ...

    @property
    def in_channels(self) -> int:
        """Channels of the network's input: latent channels plus those of `ConditionInputs.concat`."""
        ...

    @property
    def context_width(self) -> int:
        """Width of `ConditionInputs.context`."""
        ...

    def activation_bytes(self, batch_size: int, height: int, width: int) -> int:
        """Estimated peak of memory, weights excluded, for a latent of this height and width."""
        ...

    @property
    def adapter_modules(self) -> Mapping[str, str]:
        """Every name adapter files (LoRA and kin) use for a module → the module's name in the network."""
        ...

    @property
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every weight of the network, by the names patches use."""
        ...

    @property
    def weights(self) -> FinalWeights:
        """The weights after the handle's patches, by the same names."""
        ...

    def with_parameterization(self, parameterization: Parameterization) -> ModelHandle:
        """The same network read as predicting something else."""
        ...

    def with_patches(self, patches: PatchSet) -> ModelHandle:
        """The same network with weight patches added to those it has."""
        ...

    def with_guidance(self, guidance: Guidance) -> ModelHandle:
        """The same network with these rules for guiders instead of its own (`guidance`)."""
        ...

    def with_edit(self, edit: NetworkEdit) -> ModelHandle:
        """The same weights computing a changed function; part of `identity`."""
        ...

    def with_compute_dtype(self, dtype: torch.dtype) -> ModelHandle:
        """The same network computing in this dtype, whatever the settings say."""
        ...


class TextEncoderHandle(Protocol):
    """CLIP: one or more text encoders behind one tokenizer interface."""

    @property
    def family(self) -> str:
        """Folder name of the family."""
        ...

    @property
    def identity(self) -> str:
        """Equal identity, equal function: file, part, layer, patches."""
        ...

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        ...

    @property
    def last_layer(self) -> int | None:
        """Negative number of the layer whose output is used, None for the family's own choice."""
        ...

    @property
    def adapter_modules(self) -> Mapping[str, str]:
        """As of `ModelHandle`. A handle of several encoders puts the encoder's key and a dot before names."""
        ...

    @property
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """As of `ModelHandle`."""
        ...

    @property
    def weights(self) -> FinalWeights:
        """As of `ModelHandle`."""
        ...

    def with_last_layer(self, last_layer: int) -> TextEncoderHandle:
        """Stop at this layer, counted from the end (-1 is the last). The final norm is always applied."""
        ...

    def with_patches(self, patches: PatchSet) -> TextEncoderHandle:
        """The same encoder with weight patches added to those it has."""
        ...

    def tokenize(self, text: str, *, word_ids: bool = False, warn: Warn | None = None) -> TokenBatches:
        """Weighted tokens in padded chunks; `embedding:name` becomes vectors, a missing one a warning."""
        ...

    def encode_tokens(self, tokens: TokenBatches) -> TextEncoding:
        """Encode what `tokenize` returned. Raises NodeError for tokens of another kind of encoder."""
        ...

    def encode(self, text: str, *, warn: Warn | None = None) -> TextEncoding:
        """`encode_tokens(tokenize(text))`."""
        ...


class VaeHandle(Protocol):
    """VAE: pixels ↔ latents. Images are float32 [b h w 3] in [0, 1], latents float32 [b c h w], both on the CPU."""

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        ...

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        ...

    @property
    def num_latent_channels(self) -> int:
        """Channels of a latent."""
        ...

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
    """What a checkpoint file holds; a part it lacks is None. `vision`: its CLIP_VISION, of models that need one."""

    family: str
    model: ModelHandle | None
    clip: TextEncoderHandle | None
    vae: VaeHandle | None
    vision: Any = None


@dataclass(frozen=True, slots=True)
class FamilyMatch:
    """A family recognised a file: the sizes it read from the key shapes, and a sentence that says what it is."""

    family: str
    config: Any
    description: str


@dataclass(frozen=True, slots=True)
class FamilyServices:
    """What a worker lends to families when they open a file.

    host: where networks of a part run. text: tokenizer and embeddings folders. digest: content hash of a file.
    """

    host: Callable[[Part], NetworkHost]
    text: TextTools
    digest: Callable[[Path], str]


class Family(Protocol):
    """One folder of `families/`; its `family.py` has a function `family()` that returns one of these."""

    @property
    def name(self) -> str:
        """The folder's name."""
        ...

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
        """Recognise a file by its keys and shapes alone; None if it is another family's."""
        ...

    def open(self, checkpoint: Checkpoint, match: FamilyMatch, services: FamilyServices) -> OpenedCheckpoint:
        """Handles for the parts of the file. Reads headers and, where only a value tells a variant, a small tensor.

        Raises CheckpointError for missing or unknown keys.
        """
        ...
