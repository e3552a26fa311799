"""The CLIP text transformer, with the key names of the transformers library (text_model.…).

OpenCLIP files are renamed to this form by their family. Source: Radford et al. 2021, arXiv:2103.00020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.nn.clip_layer import ClipEncoder
from engine.nn.embeddings import TokenEmbedding
from engine.nn.layers import Embedding, LayerNorm, Linear

__all__ = ["TextConfig", "TextStates", "TextTransformer"]


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Sizes of a text transformer. `activation` is quick_gelu (OpenAI) or gelu (OpenCLIP).

    projection_width: width of the pooled output's projection, None when the file has none. norms_hidden: whether an
    earlier layer's output goes through the final norm.
    """

    width: int
    num_layers: int
    num_heads: int
    inner_width: int
    vocabulary: int = 49408
    max_tokens: int = 77
    activation: str = "quick_gelu"
    projection_width: int | None = None
    norms_hidden: bool = True


@dataclass(frozen=True, slots=True)
class TextStates:
    """hidden [b n d]: output of the chosen layer, normed if the network does so. pooled [b k]: the end token's vector.

    The pooled vector is always the last layer's after the final norm, projected if there is a projection.
    """

    hidden: Tensor
    pooled: Tensor


class _Embeddings(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = TokenEmbedding(config.vocabulary, config.width)
        self.position_embedding = Embedding(config.max_tokens, config.width)

    def forward(self, tokens: Tensor, vectors: Mapping[tuple[int, int], Tensor]) -> Tensor:
        rows = self.token_embedding(tokens)
        positions = self.position_embedding(torch.arange(tokens.shape[1], device=tokens.device))
        rows = rows.to(positions.dtype)
        for (row, place), vector in vectors.items():
            rows[row, place] = vector.to(rows)
        return rows + positions


class _TextModel(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = ClipEncoder(
            config.num_layers, config.width, config.num_heads, config.inner_width, config.activation, is_causal=True
        )
        self.final_layer_norm = LayerNorm(config.width)


class TextTransformer(nn.Module):
    """Tokens → one vector a token and one a text."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = _TextModel(config)
        if config.projection_width is not None:
            self.text_projection = Linear(config.width, config.projection_width, bias=False)

    def forward(
        self,
        tokens: Tensor,
        end_places: Tensor,
        *,
        last_layer: int = -1,
        vectors: Mapping[tuple[int, int], Tensor] | None = None,
    ) -> TextStates:
        """Run the transformer.

        Args:
            tokens: [b n] ids.
            end_places: [b] place of the end token, where the text's own vector is read.
            last_layer: layer whose output is `hidden`, counted from the end; one beyond the first means the last after
                the final norm.
            vectors: (row, place) → [d] vectors that replace token embeddings.
        """
        model = self.text_model
        layers = model.encoder.layers
        is_there = -len(layers) <= last_layer < 0
        wanted = len(layers) + last_layer if is_there else len(layers) - 1
        x = hidden = model.embeddings(tokens, vectors or {})
        for index, layer in enumerate(layers):
            x = layer(x)
            if index == wanted:
                hidden = x
        last = model.final_layer_norm(x)
        pooled = last[torch.arange(len(last), device=last.device), end_places]
        if self.config.projection_width is not None:
            pooled = self.text_projection(pooled)
        if is_there and not self.config.norms_hidden:
            return TextStates(hidden, pooled)
        return TextStates(last if hidden is x else model.final_layer_norm(hidden), pooled)
