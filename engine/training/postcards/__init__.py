"""Postcards: illustrated scenes with exact captions and exact ground truth, made from an index.

`scene_at` says what picture an index stands for, `caption_of` describes it, `render` paints it, `truth_of` tells where
everything is and `judge` says what a picture shows of a caption. All are pure functions; nothing is stored.
"""

from __future__ import annotations

from engine.training.postcards.captions import Caption, Named, caption_of
from engine.training.postcards.ground_truth import ObjectTruth, truth_of
from engine.training.postcards.judge import Check, Reading, Verdict, compare, judge, read
from engine.training.postcards.render import render
from engine.training.postcards.sampling import scene_at
from engine.training.postcards.scene import Scene
from engine.training.postcards.vocabulary import BASE_EXCLUDED_KINDS, BASE_EXCLUDED_STYLES, is_held_out

__all__ = [
    "BASE_EXCLUDED_KINDS",
    "BASE_EXCLUDED_STYLES",
    "Caption",
    "Check",
    "Named",
    "ObjectTruth",
    "Reading",
    "Scene",
    "Verdict",
    "caption_of",
    "compare",
    "is_held_out",
    "judge",
    "read",
    "render",
    "scene_at",
    "truth_of",
]
