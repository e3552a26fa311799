"""Several embedders as one: a batch becomes the tensors a network takes beside the noisy latent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from engine.diffusion.condition_inputs import ConditionInputs
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.embedders.class_labels import ClassRecipe
from engine.training.embedders.clip_text import ClipTextEmbedder, ClipTextRecipe
from engine.training.embedders.embedder import Embedder
from engine.training.embedders.sizes import SizeRecipe
from engine.training.embedders.spatial import SpatialRecipe
from engine.training.randomness import StepChance

__all__ = ["Conditioner", "ConditionerRecipe", "EmbedderRecipe"]

EmbedderRecipe = ClassRecipe | ClipTextRecipe | SizeRecipe | SpatialRecipe


@dataclass(frozen=True, slots=True)
class ConditionerRecipe:
    """embedders: in the order their outputs are joined.

    context_axis: contexts of several embedders are joined along their tokens (equal widths), or along their width
    (equal numbers of tokens), as Stable Diffusion XL does.
    """

    embedders: tuple[EmbedderRecipe, ...] = ()
    context_axis: Literal["tokens", "width"] = "tokens"

    def build(self, context: BuildContext) -> Conditioner:
        """The conditioner with its embedders."""
        built = [recipe.build(context, f"embedder{number}") for number, recipe in enumerate(self.embedders)]
        return Conditioner(built, self.context_axis)


class Conditioner(nn.Module):
    """What embedders give goes by its axes: [b k] to the vector, [b n d] to the context, [b c h w] to the channels.

    Outputs of a kind are joined in the order of the embedders. Keys: embedders.N.…
    """

    def __init__(self, embedders: Sequence[Embedder], context_axis: Literal["tokens", "width"] = "tokens") -> None:
        super().__init__()
        self.embedders = nn.ModuleList(embedders)
        self.context_axis = context_axis
        for embedder in embedders:
            embedder.requires_grad_(embedder.is_trainable)
            embedder.train(embedder.is_trainable)

    @property
    def parts(self) -> tuple[Embedder, ...]:
        """The embedders, in order."""
        return tuple(cast(Embedder, embedder) for embedder in self.embedders)

    @property
    def text(self) -> ClipTextEmbedder | None:
        """The first text encoder."""
        return next((part for part in self.parts if isinstance(part, ClipTextEmbedder)), None)

    def train(self, mode: bool = True) -> Conditioner:
        """Frozen embedders stay in evaluation mode."""
        super().train(mode)
        for embedder in self.parts:
            embedder.train(mode and embedder.is_trainable)
        return self

    def forward(self, batch: Mapping[str, Any], chance: StepChance) -> ConditionInputs:
        """Inputs for a training step: each embedder forgets its part of the examples, independently of the others."""
        outputs = []
        for number, embedder in enumerate(self.parts):
            dropped = chance.uniform(f"ucg/{number}") < embedder.ucg_rate if embedder.ucg_rate > 0 else None
            outputs.append(self._run(embedder, batch, dropped, chance.device))
        return self._joined(outputs)

    def conditional(self, batch: Mapping[str, Any], device: torch.device) -> ConditionInputs:
        """Inputs with nothing dropped."""
        return self._joined([self._run(embedder, batch, None, device) for embedder in self.parts])

    def unconditional(self, batch: Mapping[str, Any], count: int, device: torch.device) -> ConditionInputs:
        """Inputs in which every embedder that was trained without its input (`ucg_rate`) forgets it."""
        everything = torch.ones(count, dtype=torch.bool, device=device)
        outputs = [
            self._run(embedder, batch, everything if embedder.ucg_rate > 0 else None, device) for embedder in self.parts
        ]
        return self._joined(outputs)

    def _run(
        self, embedder: Embedder, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device
    ) -> tuple[Tensor, ...]:
        with nullcontext() if embedder.is_trainable else torch.no_grad():
            return embedder(batch, dropped, device)

    def _joined(self, outputs: Sequence[tuple[Tensor, ...]]) -> ConditionInputs:
        by_axes: dict[int, list[Tensor]] = {2: [], 3: [], 4: []}
        for output in outputs:
            for tensor in output:
                by_axes[tensor.ndim].append(tensor)
        axis, same = (1, 2) if self.context_axis == "tokens" else (2, 1)
        if len({tensor.shape[same] for tensor in by_axes[3]}) > 1:
            raise ConfigError(
                f"Contexts of shapes {[list(t.shape[1:]) for t in by_axes[3]]} cannot be joined along their "
                f"{self.context_axis}.",
                hint="Set conditioner.context_axis, or change the widths of the embedders.",
            )
        return ConditionInputs(_cat(by_axes[3], axis), _cat(by_axes[2], 1), _cat(by_axes[4], 1))


def _cat(tensors: list[Tensor], axis: int) -> Tensor | None:
    if not tensors:
        return None
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=axis)
