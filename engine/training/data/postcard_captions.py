"""Captions of the procedural postcards with what each names; no picture is painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from engine.core.digest import digest_value
from engine.training.caption_reader.claims import claims_of
from engine.training.config.resolve import to_plain
from engine.training.data.collate import Example
from engine.training.data.place import Place
from engine.training.data.source import OpenContext
from engine.training.postcards import caption_of, scene_at

__all__ = ["PostcardCaptionsRecipe", "PostcardCaptionsSource"]

_NUM_PROBES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PostcardCaptionsRecipe:
    """`text` and `claims` [rows columns] (`engine.training.caption_reader.claims`) of scenes, a new one every draw.

    split, seed, exclude_styles, exclude_kinds: as of source postcards. num_wordings: of each scene, the plainest first.
    holds_out_pairs: whether pairs of colour and kind that training pictures never show are kept out of captions, too.
    """

    kind: Literal["postcard_captions"] = "postcard_captions"
    split: Literal["train", "held_out"] = "train"
    seed: int = 0
    exclude_styles: tuple[str, ...] = ()
    exclude_kinds: tuple[str, ...] = ()
    num_wordings: int = 1 << 20
    holds_out_pairs: bool = True

    def __post_init__(self) -> None:
        if self.num_wordings < 1:
            raise ValueError("num_wordings is at least 1")

    def open(self, context: OpenContext) -> PostcardCaptionsSource:
        """The source."""
        return PostcardCaptionsSource(self)


class PostcardCaptionsSource:
    """The opened source: `place.draw` is the number of the scene."""

    def __init__(self, recipe: PostcardCaptionsRecipe) -> None:
        self._recipe = recipe
        probes = [self[Place(0, number)] for number in range(_NUM_PROBES)]
        words = [[probe["text"], probe["claims"].tolist()] for probe in probes]
        self.digest = digest_value([to_plain(recipe), words])

    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: Place) -> Example:
        recipe = self._recipe
        scene = scene_at(
            place.draw,
            seed=recipe.seed,
            split=recipe.split,
            exclude_styles=recipe.exclude_styles,
            exclude_kinds=recipe.exclude_kinds,
            holds_out_pairs=recipe.holds_out_pairs,
        )
        caption = caption_of(scene, place.draw % recipe.num_wordings)
        return {"text": caption.text, "claims": torch.from_numpy(claims_of(caption.named))}
