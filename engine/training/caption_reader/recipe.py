"""The recipe of a caption reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.training.context import BuildContext
from engine.training.embedders.clip_text import ClipTextRecipe

if TYPE_CHECKING:
    from engine.training.caption_reader.module import CaptionReaderModule

__all__ = ["CaptionReaderRecipe"]


@dataclass(frozen=True, slots=True)
class CaptionReaderRecipe:
    """text: the encoder that learns. num_heads: of the attention by which questions are put to its tokens.

    claims_key: of the table of what each caption names.
    """

    kind: Literal["caption_reader"]
    text: ClipTextRecipe
    num_heads: int = 4
    claims_key: str = "claims"

    def __post_init__(self) -> None:
        if not self.text.is_trainable:
            raise ValueError("the text encoder of a caption reader learns: set text.is_trainable")
        if self.num_heads < 1 or self.text.width % self.num_heads:
            raise ValueError("text.width must be a multiple of num_heads")

    def build(self, context: BuildContext) -> CaptionReaderModule:
        """The module with its first weights, on the CPU."""
        from engine.training.caption_reader.module import CaptionReaderModule

        return CaptionReaderModule(self, context)
