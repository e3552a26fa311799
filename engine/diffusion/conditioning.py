"""Conditioning as sampling sees it: immutable entries read from the CONDITIONING socket's [tensor, dict] pairs.

The socket's value stays a plain list of pairs because existing node packs read and build it in that form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from torch import Tensor

from engine.core.errors import NodeError

__all__ = [
    "Area",
    "ConditioningEntry",
    "ConditioningPairs",
    "PercentArea",
    "as_negative",
    "parse_conditioning",
    "to_pairs",
]

ConditioningPairs = list[list[Any]]
"""[[context [b n d], {"pooled_output": ..., "area": ..., ...}], ...]"""

UNSUPPORTED_KEYS = ("gligen", "hooks", "default")
"""Keys that change a picture but are not honoured yet; silently dropping them would give a wrong one."""


@dataclass(frozen=True, slots=True)
class Area:
    """A window of the latent, in latent pixels."""

    height: int
    width: int
    top: int
    left: int


@dataclass(frozen=True, slots=True)
class PercentArea:
    """A window of the latent, each number a fraction of the latent's height or width."""

    height: float
    width: float
    top: float
    left: float


@dataclass(frozen=True, slots=True, eq=False)
class ConditioningEntry:
    """One thing to be conditioned on, and where and when.

    context: tokens for cross-attention [b n d].
    pooled: one vector for the whole text [b d], or None.
    area: window it applies to, None for everywhere.
    strength: weight against other entries that cover the same place.
    mask: weight per place [b|1 h w], values in [0, 1], any resolution, or None.
    mask_strength: factor on the mask.
    is_bounded_by_mask: predict only inside the box around the mask.
    start_fraction, end_fraction: part of the sampling trajectory it applies to, 0 = pure noise, 1 = clean.
    extras: every further key of the pair (sizes, concatenated latents, controls …), for families that know them.
    is_negative: what is to be avoided; some networks are told another default for it.
    """

    context: Tensor
    pooled: Tensor | None = None
    area: Area | PercentArea | None = None
    strength: float = 1.0
    mask: Tensor | None = None
    mask_strength: float = 1.0
    is_bounded_by_mask: bool = False
    start_fraction: float = 0.0
    end_fraction: float = 1.0
    extras: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    is_negative: bool = False


def parse_conditioning(pairs: Iterable[Any]) -> tuple[ConditioningEntry, ...]:
    """Read the value of a CONDITIONING socket.

    Raises:
        NodeError: an item is no [tensor, dict] pair, or asks for something sampling cannot do.
    """
    return tuple(_parse_pair(pair) for pair in pairs)


def as_negative(entries: Iterable[ConditioningEntry]) -> tuple[ConditioningEntry, ...]:
    """The same entries as what is to be avoided."""
    return tuple(replace(entry, is_negative=True) for entry in entries)


def to_pairs(entries: Iterable[ConditioningEntry]) -> ConditioningPairs:
    """The CONDITIONING value of these entries; keys at their default are left out, as nodes do."""
    return [[entry.context, _options(entry)] for entry in entries]


def _parse_pair(pair: Any) -> ConditioningEntry:
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[1], Mapping):
        raise NodeError(
            f"A conditioning item must be a [tensor, dict] pair, got {type(pair).__name__}.", code="bad_conditioning"
        )
    context, options = pair
    if not isinstance(context, Tensor):
        raise NodeError(
            f"The first half of a conditioning pair must be a tensor, got {type(context).__name__}.",
            code="bad_conditioning",
        )
    rest = dict(options)
    for key in UNSUPPORTED_KEYS:
        if rest.get(key):
            raise NodeError(f"Conditioning with {key!r} is not supported by sampling.", code="unsupported_conditioning")
    return ConditioningEntry(
        context=context,
        pooled=rest.pop("pooled_output", None),
        area=_parse_area(rest.pop("area", None)),
        strength=float(rest.pop("strength", 1.0)),
        mask=rest.pop("mask", None),
        mask_strength=float(rest.pop("mask_strength", 1.0)),
        is_bounded_by_mask=bool(rest.pop("set_area_to_bounds", False)),
        start_fraction=float(rest.pop("start_percent", 0.0)),
        end_fraction=float(rest.pop("end_percent", 1.0)),
        extras=MappingProxyType(rest),
    )


def _parse_area(value: Any) -> Area | PercentArea | None:
    if value is None:
        return None
    if len(value) == 5 and value[0] == "percentage":
        return PercentArea(*(float(number) for number in value[1:]))
    if len(value) == 4:
        return Area(*(int(number) for number in value))
    raise NodeError(f"Conditioning area must be (height, width, top, left), got {value!r}.", code="bad_conditioning")


def _options(entry: ConditioningEntry) -> dict[str, Any]:
    options = dict(entry.extras)
    if entry.pooled is not None:
        options["pooled_output"] = entry.pooled
    if isinstance(entry.area, PercentArea):
        options["area"] = ("percentage", entry.area.height, entry.area.width, entry.area.top, entry.area.left)
    elif entry.area is not None:
        options["area"] = (entry.area.height, entry.area.width, entry.area.top, entry.area.left)
    if entry.mask is not None:
        options["mask"] = entry.mask
        options["mask_strength"] = entry.mask_strength
        options["set_area_to_bounds"] = entry.is_bounded_by_mask
    if entry.strength != 1.0:
        options["strength"] = entry.strength
    if (entry.start_fraction, entry.end_fraction) != (0.0, 1.0):
        options["start_percent"] = entry.start_fraction
        options["end_percent"] = entry.end_fraction
    return options
