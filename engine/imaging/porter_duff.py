"""Porter-Duff compositing of premultiplied images, with the blend modes commonly listed among them.

Sources: Porter & Duff 1984, "Compositing digital images"; the formulas of Android's `PorterDuff.Mode` documentation.
S, D are premultiplied colours, a_s, a_d coverages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

__all__ = ["PORTER_DUFF_MODES", "porter_duff"]

_T = torch.Tensor
_Rule = Callable[[_T, _T, _T, _T], tuple[_T, _T]]
"""(S, a_s, D, a_d) → (premultiplied colour, coverage)."""


def _union(source: _T, destination: _T) -> _T:
    return source + destination - source * destination


def _overlay(s: _T, a: _T, d: _T, b: _T) -> _T:
    return torch.where(2 * d < b, 2 * s * d, a * b - 2 * (b - d) * (a - s))


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "ADD": lambda s, a, d, b: ((s + d).clamp(0, 1), (a + b).clamp(0, 1)),
        "CLEAR": lambda s, a, d, b: (torch.zeros_like(d), torch.zeros_like(b)),
        "DARKEN": lambda s, a, d, b: ((1 - b) * s + (1 - a) * d + torch.minimum(s, d), _union(a, b)),
        "DST": lambda s, a, d, b: (d, b),
        "DST_ATOP": lambda s, a, d, b: (a * d + (1 - b) * s, a),
        "DST_IN": lambda s, a, d, b: (d * a, a * b),
        "DST_OUT": lambda s, a, d, b: ((1 - a) * d, (1 - a) * b),
        "DST_OVER": lambda s, a, d, b: (d + (1 - b) * s, b + (1 - b) * a),
        "LIGHTEN": lambda s, a, d, b: ((1 - b) * s + (1 - a) * d + torch.maximum(s, d), _union(a, b)),
        "MULTIPLY": lambda s, a, d, b: (s * d, a * b),
        "OVERLAY": lambda s, a, d, b: (_overlay(s, a, d, b), _union(a, b)),
        "SCREEN": lambda s, a, d, b: (s + d - s * d, _union(a, b)),
        "SRC": lambda s, a, d, b: (s, a),
        "SRC_ATOP": lambda s, a, d, b: (b * s + (1 - a) * d, b),
        "SRC_IN": lambda s, a, d, b: (s * b, a * b),
        "SRC_OUT": lambda s, a, d, b: ((1 - b) * s, (1 - b) * a),
        "SRC_OVER": lambda s, a, d, b: (s + (1 - a) * d, a + (1 - a) * b),
        "XOR": lambda s, a, d, b: ((1 - b) * s + (1 - a) * d, (1 - b) * a + (1 - a) * b),
    }
)
PORTER_DUFF_MODES = tuple(_RULES)


def porter_duff(
    source: torch.Tensor, source_alpha: torch.Tensor, target: torch.Tensor, target_alpha: torch.Tensor, mode: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Composite straight (not premultiplied) images [… h w c] with coverages [… h w 1], 1 = opaque.

    Gives the straight colour, 0 where nothing is covered, and the coverage.
    """
    color, alpha = _RULES[mode](source * source_alpha, source_alpha, target * target_alpha, target_alpha)
    straight = torch.where(alpha > 1e-5, color / alpha.clamp(min=1e-5), torch.zeros_like(color))
    return straight.clamp(0, 1), alpha
