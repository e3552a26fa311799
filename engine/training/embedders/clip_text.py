"""CLIP's text transformer as an embedder: trained with the network from nothing, or frozen from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.core.errors import CheckpointError
from engine.families.text.clip_form import CLIP_L, CLIP_RULES, read_clip_config
from engine.families.text.tokenizer import FULL_VOCABULARY, ClipTokenizer, vocabulary_path
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.training.context import BuildContext
from engine.training.embedders.embedder import Embedder, read_key
from engine.training.networks.initialisation import initialise
from engine.training.stored_weights import load_weights
from engine.weights.checkpoint import Checkpoint, open_checkpoint
from engine.weights.remap import WeightReader, read_part

__all__ = ["ClipTextEmbedder", "ClipTextRecipe"]

_PREFIXES = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.", "")
_REMEMBERED_TEXTS = 1 << 19
"""Each takes some hundred bytes."""


@dataclass(frozen=True, slots=True)
class ClipTextRecipe:
    """A text transformer.

    checkpoint: file its weights and sizes come from (a Stable Diffusion 1 checkpoint, or a CLIP-L file); the sizes
        below are then not used. Without one it begins from nothing.
    width … activation: sizes; heads are 64 wide in published files, which do not tell. vocabulary: rows of the token
        table; fewer than 49408 take the first of CLIP's merges.
    layer: whose output is the context, counted from the end. pooled: whether the vector of the end token is given too.
    input_key: texts. Where the data gives `<input_key>_tokens` (ids with start, end and padding), it is used instead.
    ucg_value: the text that dropped examples get.
    """

    kind: Literal["clip_text"]
    input_key: str = "text"
    checkpoint: Path | None = None
    width: int = 768
    num_layers: int = 12
    num_heads: int = 12
    inner_width: int = 3072
    vocabulary: int = FULL_VOCABULARY
    max_tokens: int = 77
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    layer: int = -1
    pooled: Literal["none", "also", "only"] = "none"
    ucg_rate: float = 0.0
    ucg_value: str = ""
    is_trainable: bool = False

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError("width must be a multiple of num_heads")
        if self.layer >= 0:
            raise ValueError("layer is counted from the end: -1 is the last")
        if self.checkpoint is None and not self.is_trainable:
            raise ValueError("a text encoder without a checkpoint must be trained: set is_trainable")

    def build(self, context: BuildContext, part: str) -> ClipTextEmbedder:
        """The embedder. Raises CheckpointError when its file cannot be used."""
        if self.checkpoint is None:
            config = TextConfig(
                self.width,
                self.num_layers,
                self.num_heads,
                self.inner_width,
                self.vocabulary,
                self.max_tokens,
                self.activation,
            )
            transformer = TextTransformer(config)
            initialise(transformer, context.seed, part)
            return ClipTextEmbedder(self, transformer)
        with open_checkpoint(context.path(self.checkpoint)) as checkpoint:
            config, reader = _read(checkpoint)
            transformer = TextTransformer(config)
            load_weights(transformer, reader)
        return ClipTextEmbedder(self, transformer)


class ClipTextEmbedder(Embedder):
    """Keys: transformer.text_model.…"""

    def __init__(self, recipe: ClipTextRecipe, transformer: TextTransformer) -> None:
        super().__init__(recipe.input_key, recipe.ucg_rate, recipe.is_trainable)
        self.recipe = recipe
        self.transformer = transformer
        self._tokenizer: ClipTokenizer | None = None
        # Captions come again every epoch.
        self._tokens: Callable[[str], NDArray[np.int32]] = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._tokenize)

    @property
    def config(self) -> TextConfig:
        """Sizes of the transformer."""
        return self.transformer.config

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Ids with start, end and padding, cut to the encoder's length: int64 [b n] on the CPU."""
        return torch.from_numpy(np.stack([self._tokens(text) for text in texts])).long()

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """The context [b n d] and, if wanted, the pooled vector [b d]."""
        tokens = batch.get(f"{self.input_key}_tokens")
        if tokens is None:
            tokens = self.tokenize(read_key(batch, self.input_key))
        tokens = tokens.to(device, torch.int64, non_blocking=True)
        if dropped is not None:
            empty = self.tokenize([self.recipe.ucg_value]).to(device, non_blocking=True)
            tokens = torch.where(dropped[:, None], empty, tokens)
        ends = (tokens == self.config.vocabulary - 1).int().argmax(dim=1)
        states = self.transformer(tokens, ends, last_layer=self.recipe.layer)
        if self.recipe.pooled == "only":
            return (states.pooled,)
        return (states.hidden,) if self.recipe.pooled == "none" else (states.hidden, states.pooled)

    def _tokenize(self, text: str) -> NDArray[np.int32]:
        if self._tokenizer is None:
            self._tokenizer = ClipTokenizer(vocabulary_path(), min(self.config.vocabulary, FULL_VOCABULARY))
        tokenizer, length = self._tokenizer, self.config.max_tokens
        ids = [tokenizer.start, *tokenizer.encode(text)[: length - 2], tokenizer.end]
        return np.array(ids + [tokenizer.end] * (length - len(ids)), dtype=np.int32)


def _read(checkpoint: Checkpoint) -> tuple[TextConfig, WeightReader]:
    """Sizes and weights of the text encoder in a file."""
    for prefix in _PREFIXES:
        for inner in ("text_model.", ""):
            config = read_clip_config(checkpoint.shapes, prefix + inner, CLIP_L)
            if config is not None:
                with torch.device("meta"):
                    expected = {name: tuple(w.shape) for name, w in TextTransformer(config).state_dict().items()}
                return config, read_part(checkpoint, prefix, expected, CLIP_RULES, "text encoder")
    raise CheckpointError(
        f"{checkpoint.path.name} holds no CLIP text encoder.", hint="Name a Stable Diffusion 1 checkpoint or CLIP-L."
    )
