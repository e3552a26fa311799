"""How well holes are filled: an object is cut out of a held-out scene and asked for again by the scene's caption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.training.evaluation import Score, psnr_db, questions
from engine.training.postcards import ObjectTruth, caption_of, read, truth_of
from engine.training.postcards.scene import Box

__all__ = ["FillScores", "Hole", "holes", "score_fills"]

_SIZE_PX, _CELL_PX = 256, 8
_MARGIN = 0.15
"""How much wider than the object the hole is on each side, in shares of the object's longer side."""
_SEEN_PX = 16
"""How far from the hole a decoder's cells may still show what is in it."""
_SOUGHT = 8
"""Scenes looked at for each hole that is wanted; some have no object that is large enough."""
_MIN_SIDE_PX = 24


@dataclass(frozen=True, slots=True, eq=False)
class Hole:
    """A scene's picture uint8 [h w 3] with a hole float32 [h w] (1 inside), and what is to be seen in it again.

    box_px: the hole as (left, top, right, bottom), right and bottom out.
    """

    prompt: str
    kind: str
    colour: str
    picture: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    box_px: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FillScores:
    """kind, coloured: holes in which an object of the wanted kind, and of that kind and colour, is found.

    outside: mean change of values (0 … 255) farther than 16 pixels from the hole, against what the autoencoder alone
    makes of the picture. inside_db: mean PSNR within the holes against the scene itself.
    """

    kind: Score
    coloured: Score
    outside: float
    inside_db: float


def holes(num: int, *, exclude_styles: Sequence[str] = (), exclude_kinds: Sequence[str] = ()) -> list[Hole]:
    """The first `num` held-out scenes with an object large enough, its place cut out; the same ones every time."""
    return [hole for hole, _ in zip(_sought(num * _SOUGHT, tuple(exclude_styles), tuple(exclude_kinds)), range(num))]


def score_fills(cut: Sequence[Hole], filled: Iterable[np.ndarray], kept: Iterable[np.ndarray]) -> FillScores:
    """Judge filled pictures uint8 [h w 3], one a hole. kept: the same pictures through the autoencoder alone."""
    kinds = coloured = 0
    outside, inside = [], []
    for hole, picture, unchanged in zip(cut, filled, kept):
        within = [find for find in read(picture).finds if find.kind == hole.kind and _is_in(find.box, hole)]
        kinds += bool(within)
        coloured += any(find.colour == hole.colour for find in within)
        away = _away(hole)
        outside.append(np.abs(picture[away].astype(int) - unchanged[away].astype(int)).mean())
        left, top, right, bottom = hole.box_px
        inside.append(psnr_db(picture[top:bottom, left:right], hole.picture[top:bottom, left:right]))
    num = len(outside)
    return FillScores(Score(kinds, num), Score(coloured, num), float(np.mean(outside)), float(np.mean(inside)))


def _sought(num_scenes: int, exclude_styles: tuple[str, ...], exclude_kinds: tuple[str, ...]) -> Iterator[Hole]:
    for question in questions(num_scenes, exclude_styles=exclude_styles, exclude_kinds=exclude_kinds):
        single = [found for found in truth_of(question.scene, _SIZE_PX) if _side(found) >= _MIN_SIDE_PX]
        if not single:
            continue
        chosen = max(single, key=_side)
        box = _hole_box(chosen)
        mask = np.zeros((_SIZE_PX, _SIZE_PX), np.float32)
        mask[box[1] : box[3], box[0] : box[2]] = 1.0
        text = caption_of(question.scene, 0).text
        yield Hole(text, chosen.kind, chosen.colour, question.truth(_SIZE_PX), mask, box)


def _side(found: ObjectTruth) -> int:
    left, top, right, bottom = found.box_px
    return max(right - left, bottom - top)


def _hole_box(found: ObjectTruth) -> tuple[int, int, int, int]:
    """The object's box with a margin, in whole cells of the latent, within the picture."""
    margin = _MARGIN * _side(found)
    left, top, right, bottom = found.box_px
    low = [max(0, int((edge - margin) // _CELL_PX) * _CELL_PX) for edge in (left, top)]
    high = [min(_SIZE_PX, -int(-(edge + margin) // _CELL_PX) * _CELL_PX) for edge in (right, bottom)]
    return low[0], low[1], high[0], high[1]


def _is_in(box: Box, hole: Hole) -> bool:
    """Whether the middle of what was found lies in the hole."""
    left, top, right, bottom = (edge / _SIZE_PX for edge in hole.box_px)
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return left <= x <= right and top <= y <= bottom


def _away(hole: Hole) -> np.ndarray:
    left, top, right, bottom = hole.box_px
    away = np.ones(hole.mask.shape, bool)
    away[max(0, top - _SEEN_PX) : bottom + _SEEN_PX, max(0, left - _SEEN_PX) : right + _SEEN_PX] = False
    return away
