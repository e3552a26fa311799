"""Conditioning with hooks, masks and times of its own, one side at a time or both."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from engine.api import Conditioning, Hooks, Mask, Range, TimeRange, node

__all__ = [
    "combine_pairs",
    "combine_with_default",
    "combine_with_default_pair",
    "combine_with_properties",
    "combine_with_properties_pair",
    "set_properties",
    "set_properties_pair",
    "time_ranges",
]

CATEGORY = "advanced/hooks"
SINGLE, PAIR = f"{CATEGORY}/cond single", f"{CATEGORY}/cond pair"
SIDES = ("positive", "negative")
Strength = Annotated[float, Range(0.0, 10.0, step=0.01)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]
Bounds = Literal["default", "mask bounds"]


@node(
    "ConditioningTimestepsRange",
    title="Timesteps Range",
    category=CATEGORY,
    experimental=True,
    output_names=("TIMESTEPS_RANGE", "BEFORE_RANGE", "AFTER_RANGE"),
)
def time_ranges(start_percent: Moment = 0.0, end_percent: Moment = 1.0) -> tuple[TimeRange, TimeRange, TimeRange]:
    """A part of the trajectory, what is before it and what is after it; 0 is pure noise, 1 the finished picture."""
    return (start_percent, end_percent), (0.0, start_percent), (end_percent, 1.0)


@node("ConditioningSetProperties", title="Cond Set Props", category=SINGLE, experimental=True)
def set_properties(
    *,
    cond_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: TimeRange | None = None,
) -> Conditioning:
    """Where, when, how strongly and with which changed weights a conditioning applies; hooks add to those it has."""
    return _with_properties(cond_NEW, strength, set_cond_area, mask, hooks, timesteps)


@node("ConditioningSetPropertiesAndCombine", title="Cond Set Props Combine", category=SINGLE, experimental=True)
def combine_with_properties(
    *,
    cond: Conditioning,
    cond_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: TimeRange | None = None,
) -> Conditioning:
    """A conditioning, and beside it a new one with properties of its own."""
    return [*cond, *_with_properties(cond_NEW, strength, set_cond_area, mask, hooks, timesteps)]


@node(
    "PairConditioningSetProperties",
    title="Cond Pair Set Props",
    category=PAIR,
    experimental=True,
    output_names=SIDES,
)
def set_properties_pair(
    *,
    positive_NEW: Conditioning,
    negative_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: TimeRange | None = None,
) -> tuple[Conditioning, Conditioning]:
    """As Cond Set Props, for both sides."""
    given = (strength, set_cond_area, mask, hooks, timesteps)
    return _with_properties(positive_NEW, *given), _with_properties(negative_NEW, *given)


@node(
    "PairConditioningSetPropertiesAndCombine",
    title="Cond Pair Set Props Combine",
    category=PAIR,
    experimental=True,
    output_names=SIDES,
)
def combine_with_properties_pair(
    *,
    positive: Conditioning,
    negative: Conditioning,
    positive_NEW: Conditioning,
    negative_NEW: Conditioning,
    strength: Strength = 1.0,
    set_cond_area: Bounds,
    mask: Mask | None = None,
    hooks: Hooks | None = None,
    timesteps: TimeRange | None = None,
) -> tuple[Conditioning, Conditioning]:
    """As Cond Set Props Combine, for both sides."""
    given = (strength, set_cond_area, mask, hooks, timesteps)
    return [*positive, *_with_properties(positive_NEW, *given)], [*negative, *_with_properties(negative_NEW, *given)]


@node("ConditioningSetDefaultCombine", title="Cond Set Default Combine", category=SINGLE, experimental=True)
def combine_with_default(
    cond: Conditioning,
    cond_DEFAULT: Conditioning,
    hooks: Hooks | None = None,
) -> Conditioning:
    """A conditioning, and another one for the places that it leaves free."""
    return [*cond, *_with(_hooked(cond_DEFAULT, hooks), default=True)]


@node(
    "PairConditioningSetDefaultCombine",
    title="Cond Pair Set Default Combine",
    category=PAIR,
    experimental=True,
    output_names=SIDES,
)
def combine_with_default_pair(
    positive: Conditioning,
    negative: Conditioning,
    positive_DEFAULT: Conditioning,
    negative_DEFAULT: Conditioning,
    hooks: Hooks | None = None,
) -> tuple[Conditioning, Conditioning]:
    """As Cond Set Default Combine, for both sides."""
    return (
        combine_with_default(positive, positive_DEFAULT, hooks),
        combine_with_default(negative, negative_DEFAULT, hooks),
    )


@node("PairConditioningCombine", title="Cond Pair Combine", category=PAIR, experimental=True, output_names=SIDES)
def combine_pairs(
    positive_A: Conditioning,
    negative_A: Conditioning,
    positive_B: Conditioning,
    negative_B: Conditioning,
) -> tuple[Conditioning, Conditioning]:
    """Both at once, on both sides."""
    return [*positive_A, *positive_B], [*negative_A, *negative_B]


def _with(conditioning: list[Any], **options: Any) -> list[Any]:
    return [[tokens, {**old, **options}] for tokens, old in conditioning]


def _hooked(conditioning: list[Any], hooks: Any) -> list[Any]:
    if not hooks:
        return conditioning
    return [[tokens, {**old, "hooks": (*(old.get("hooks") or ()), *hooks)}] for tokens, old in conditioning]


def _with_properties(
    conditioning: list[Any], strength: float, bounds: str, mask: Any, hooks: Any, timesteps: Any
) -> list[Any]:
    """The strength is the mask's where there is one."""
    options: dict[str, Any] = {"strength": strength} if mask is None else {"mask_strength": strength}
    if mask is not None:
        options |= {"mask": mask if mask.ndim > 2 else mask[None], "set_area_to_bounds": bounds != "default"}
    if timesteps is not None:
        options |= {"start_percent": timesteps[0], "end_percent": timesteps[1]}
    return _with(_hooked(conditioning, hooks), **options)
