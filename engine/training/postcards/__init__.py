"""Postcards: illustrated scenes with exact captions and exact ground truth, made from an index.

`scene_at` says what picture an index stands for, `caption_of` describes it and `render` paints it. All are pure
functions; nothing is stored.
"""

from __future__ import annotations

from engine.training.postcards.captions import Caption, Named, caption_of
from engine.training.postcards.render import render
from engine.training.postcards.sampling import scene_at
from engine.training.postcards.scene import Scene

__all__ = ["Caption", "Named", "Scene", "caption_of", "render", "scene_at"]
