"""Conditioning as sampling sees it: immutable entries read from the CONDITIONING socket's [tensor, dict] pairs.

The socket's value stays a plain list of pairs because existing node packs read and build it in that form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from torch import Tensor

from engine.core.errors import NodeError
from engine.diffusion.controls import ControlUse, GroundingUse, Phrase
from engine.diffusion.hooks import WeightHooks, parse_hooks

__all__ = [
    "Area",
    "ConditioningEntry",
    "ConditioningPairs",
    "PercentArea",
    "as_negative",
    "parse_conditioning",
    "share_steering",
    "to_pairs",
]

ConditioningPairs = list[list[Any]]
"""[[context [b n d], {"pooled_output": ..., "area": ..., ...}], ...]"""


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
    controls: pictures that steer the prediction. shares_controls: they steer the negative side as well.
    grounding: phrases at places, or None.
    seed: of the run it is used in, for conditioning that has noise of its own.
    hooks: changes of the network's weights that go with it.
    is_default: for the places that no other conditioning covers.
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
    controls: tuple[ControlUse, ...] = ()
    shares_controls: bool = False
    grounding: GroundingUse | None = None
    seed: int = 0
    hooks: WeightHooks = ()
    is_default: bool = False


def parse_conditioning(pairs: Iterable[Any]) -> tuple[ConditioningEntry, ...]:
    """Read the value of a CONDITIONING socket.

    Raises:
        NodeError: an item is no [tensor, dict] pair, or asks for something sampling cannot do.
    """
    return tuple(_parse_pair(pair) for pair in pairs)


def as_negative(entries: Iterable[ConditioningEntry]) -> tuple[ConditioningEntry, ...]:
    """The same entries as what is to be avoided."""
    return tuple(replace(entry, is_negative=True) for entry in entries)


def share_steering(
    positive: Sequence[ConditioningEntry], negative: Sequence[ConditioningEntry]
) -> tuple[ConditioningEntry, ...]:
    """The negative side with what steers the positive one, where that is to be shared and it has nothing of its own.

    Guidance is the difference of the two sides: a control on one of them alone would be amplified by it. Entries for a
    part of the picture neither give nor take.
    """
    shared = [entry.controls for entry in positive if entry.shares_controls and entry.area is None]
    has_own = any(entry.controls for entry in negative if entry.area is None)
    sharing = () if has_own else tuple(filter(None, shared))
    negative = _spread(negative, sharing, lambda entry, controls: replace(entry, controls=controls))
    grounded = [entry.grounding for entry in positive if entry.area is None]
    has_own = any(entry.grounding for entry in negative if entry.area is None)
    placing = () if has_own else tuple(filter(None, grounded))
    return _spread(negative, placing, lambda entry, grounding: replace(entry, grounding=grounding))


def to_pairs(entries: Iterable[ConditioningEntry]) -> ConditioningPairs:
    """The CONDITIONING value of these entries; keys at their default are left out, as nodes do."""
    return [[entry.context, _options(entry)] for entry in entries]


def _spread(
    entries: Sequence[ConditioningEntry],
    values: Sequence[Any],
    give: Callable[[ConditioningEntry, Any], ConditioningEntry],
) -> tuple[ConditioningEntry, ...]:
    """The entries with the values dealt out among those for the whole picture; what is left over goes to copies."""
    result = list(entries)
    takers = [place for place, entry in enumerate(entries) if entry.area is None]
    for number, value in enumerate(values if takers else ()):
        place = takers[number % len(takers)]
        given = give(entries[place], value)
        if number < len(takers):
            result[place] = given
        else:
            result.append(given)
    return tuple(result)


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
        controls=_parse_controls(rest.pop("control", None)),
        shares_controls=bool(rest.pop("control_apply_to_uncond", False)),
        grounding=_parse_grounding(rest.pop("gligen", None)),
        hooks=parse_hooks(rest.pop("hooks", None)),
        is_default=bool(rest.pop("default", False)),
        extras=MappingProxyType(rest),
    )


def _parse_controls(value: Any) -> tuple[ControlUse, ...]:
    uses = tuple(value) if isinstance(value, list | tuple) else (value,) if value is not None else ()
    for use in uses:
        if not isinstance(use, ControlUse):
            raise NodeError(
                f"A control in conditioning must come from an Apply ControlNet node, got {type(use).__name__}.",
                code="bad_conditioning",
            )
    return uses


def _parse_grounding(value: Any) -> GroundingUse | None:
    """("position", network, [(pooled [1 d], height, width, top, left), …]) in latent cells."""
    if not value:
        return None
    if not isinstance(value, list | tuple) or len(value) != 3 or value[0] != "position":
        raise NodeError(
            "Conditioning with 'gligen' is not supported unless it places phrases at positions.",
            code="unsupported_conditioning",
        )
    return GroundingUse(value[1], tuple(Phrase(*phrase) for phrase in value[2]))


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
    if entry.controls:
        options["control"] = entry.controls
        options["control_apply_to_uncond"] = entry.shares_controls
    if entry.grounding is not None:
        found = [(p.pooled, p.height, p.width, p.top, p.left) for p in entry.grounding.phrases]
        options["gligen"] = ("position", entry.grounding.handle, found)
    if entry.hooks:
        options["hooks"] = entry.hooks
    if entry.is_default:
        options["default"] = True
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
