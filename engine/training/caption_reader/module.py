"""A text encoder under training, with the questions it is asked.

A U-Net reads a text by attention to its tokens. So does the reader: a learned query for each thing a caption can speak
of attends to the encoder's output once, and a linear map of what it gets must tell every word said of that thing. What
belongs together in the sentence ("red", "house", "left of") then lies together in the tokens, before the first picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.attention import CrossAttention
from engine.training.caption_reader.claims import NUM_COLUMNS, NUM_ROWS
from engine.training.caption_reader.recipe import CaptionReaderRecipe
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.data.collate import Batch
from engine.training.networks.initialisation import initialise
from engine.training.picture_module import PictureModule, Validated
from engine.training.randomness import derived_seed

__all__ = ["CaptionReaderModule"]

_FIRST_DEVIATION = 0.02


class CaptionReaderModule(PictureModule):
    """Keys: network.… (the text transformer), attention.…, queries, answers, biases."""

    def __init__(self, recipe: CaptionReaderRecipe, context: BuildContext) -> None:
        embedder = recipe.text.build(context, "embedder0")
        super().__init__(embedder.transformer, recipe.text.input_key, context)
        self.recipe = recipe
        width = embedder.config.width
        # Kept out of the module tree: its transformer is `network` already.
        self._tokenize = embedder.tokenize
        self.attention = CrossAttention(width, width, recipe.num_heads)
        initialise(self.attention, context.seed, "caption_reader")
        generator = torch.Generator().manual_seed(derived_seed(context.seed, "first", "caption_reader", "questions"))
        self.queries = nn.Parameter(torch.randn(NUM_ROWS, width, generator=generator) * _FIRST_DEVIATION)
        self.answers = nn.Parameter(torch.randn(NUM_ROWS, width, NUM_COLUMNS, generator=generator) * _FIRST_DEVIATION)
        self.biases = nn.Parameter(torch.zeros(NUM_ROWS, NUM_COLUMNS))

    def prepare(self, batch: Batch) -> Batch:
        """The batch with its texts as tokens, without the padding that all of them have."""
        tokens = self._tokenize(batch[self.input_key])
        return {**batch, "tokens": tokens[:, : int(self._ends(tokens).max()) + 2]}

    def loss(self, batch: Mapping[str, Any], num_step_examples: int) -> Tensor:
        """Cross-entropy of all answers, in nats a caption."""
        claims = self._claims(batch)
        answers = self._answers(batch).float()
        self.measurements["wrong"] = ((answers > 0) != (claims > 0.5)).float().sum((1, 2)).mean().detach()
        return functional.binary_cross_entropy_with_logits(answers, claims, reduction="sum") / len(claims)

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Any]) -> Validated:
        """The share of captions that are read without a mistake; there is nothing to look at."""
        claims = self._claims(batch)
        is_right = ((self._answers(self.prepare(dict(batch))) > 0) == (claims > 0.5)).flatten(1).all(dim=1)
        return Validated({"read": is_right.float()}, torch.zeros(0, 1, 3, 1, 1))

    def exported(self) -> dict[str, Tensor]:
        """Keys of CLIP-L files: text_model.…"""
        return dict(self.network.state_dict())

    def _answers(self, batch: Mapping[str, Any]) -> Tensor:
        """Logits [b rows columns]."""
        tokens = batch["tokens"].to(self.device)
        hidden = self.network(tokens, self._ends(tokens)).hidden
        read = self.attention(self.queries.expand(len(tokens), -1, -1), hidden)
        return torch.einsum("brd,rdc->brc", read, self.answers.to(read.dtype)) + self.biases

    def _ends(self, tokens: Tensor) -> Tensor:
        """Places of the first end token [b]."""
        return (tokens == self.network.config.vocabulary - 1).int().argmax(dim=1)  # type: ignore[union-attr, operator]

    def _claims(self, batch: Mapping[str, Any]) -> Tensor:
        claims = batch.get(self.recipe.claims_key)
        if not isinstance(claims, Tensor) or claims.shape[1:] != (NUM_ROWS, NUM_COLUMNS):
            raise ConfigError(
                f"The data gives no table of claims as {self.recipe.claims_key!r}.",
                hint="Caption readers learn from a source of kind postcard_captions.",
            )
        return claims.to(self.device)
