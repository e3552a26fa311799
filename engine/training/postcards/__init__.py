"""Postcards: illustrated scenes with exact captions and exact ground truth, made from an index.

`scene_at` says what picture an index stands for, `caption_of` describes it, `render` paints it and `truth_of` tells
where everything is. All are pure functions; nothing is stored.
"""

from __future__ import annotations

from engine.training.postcards.captions import Caption, Named, caption_of
from engine.training.postcards.ground_truth import ObjectTruth, truth_of
from engine.training.postcards.render import render
from engine.training.postcards.sampling import scene_at
from engine.training.postcards.scene import Scene

__all__ = ["Caption", "Named", "ObjectTruth", "Scene", "caption_of", "render", "scene_at", "truth_of"]
