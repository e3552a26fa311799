"""Example pack: a folder with an `__init__.py`. Every function here that carries `@node` becomes a node type.

Copy this folder, rename it, and change the nodes; docs/writing-nodes.md explains each step. To switch a pack off,
rename its folder to end in `.disabled`.
"""

from __future__ import annotations

from .pictures import split_by_brightness, tint_image
from .texts import save_text

__all__ = ["save_text", "split_by_brightness", "tint_image"]
