"""Changes of weights that go with a conditioning: adapters that count for one text, at a strength that follows time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from engine.core.errors import NodeError
from engine.diffusion.sigma_table import SigmaTable

if TYPE_CHECKING:
    from engine.diffusion.denoiser import Denoiser

__all__ = [
    "HookedModel",
    "Keyframe",
    "WeightChange",
    "WeightHook",
    "WeightHooks",
    "encoded_in_stages",
    "parse_hooks",
    "stages_of",
    "with_keyframes",
]


class WeightChange(Protocol):
    """An opened LoRA or kin, or another model's weights in its place."""

    def apply(self, model: Any, clip: Any, strength_model: float = 1.0, strength_clip: float = 1.0) -> tuple[Any, Any]:
        """The model and the text encoder with the change; either may be None, and stays so."""
        ...


@dataclass(frozen=True, slots=True)
class Keyframe:
    """From a part of the trajectory on (0 = pure noise, 1 = clean), strengths are multiplied by `strength`."""

    strength: float
    start_fraction: float


@dataclass(frozen=True, slots=True, eq=False)
class WeightHook:
    """One change, its strengths for the network and the text encoder, and how they follow the trajectory.

    keyframes: by rising start; the first one counts from the beginning. None: the strengths stay.
    """

    change: WeightChange
    strength_model: float = 1.0
    strength_clip: float = 1.0
    keyframes: tuple[Keyframe, ...] = ()

    def factor_at(self, fraction: float) -> float:
        """What the strengths are multiplied by at this part of the trajectory."""
        begun = [frame.strength for frame in self.keyframes if frame.start_fraction <= fraction]
        first = self.keyframes[0].strength if self.keyframes else 1.0
        return begun[-1] if begun else first

    def factor_at_sigma(self, sigma: float, table: SigmaTable) -> float:
        """What the strengths are multiplied by at this noise level."""
        begun = [
            frame.start_fraction for frame in self.keyframes if sigma <= table.sigma_at_fraction(frame.start_fraction)
        ]
        return self.factor_at(begun[-1] if begun else 0.0)


WeightHooks = tuple[WeightHook, ...]
"""The value of a HOOKS socket."""


def parse_hooks(value: Any) -> WeightHooks:
    """The hooks of a conditioning. Raises NodeError for something else."""
    if not value:
        return ()
    if not isinstance(value, tuple) or not all(isinstance(hook, WeightHook) for hook in value):
        raise NodeError(
            "Conditioning with 'hooks' is not supported unless a Create Hook node made them.",
            code="unsupported_conditioning",
        )
    return value


def with_keyframes(hooks: WeightHooks, keyframes: Iterable[Keyframe]) -> WeightHooks:
    """The same changes on another schedule."""
    frames = tuple(sorted(keyframes, key=lambda frame: frame.start_fraction))
    return tuple(replace(hook, keyframes=frames) for hook in hooks)


class HookedModel:
    """A model under hooks, at any noise level; made anew for each run, and remembers what it made for it."""

    def __init__(self, hooks: WeightHooks) -> None:
        self._hooks = hooks
        self._made: dict[Any, Denoiser] = {}

    def at(self, denoiser: Denoiser, sigma: float) -> Denoiser:
        """The model with every hook at the strength it has at this level; the model itself where all are 0."""
        table = denoiser.parameterization.sigma_table
        strengths = tuple(hook.strength_model * hook.factor_at_sigma(sigma, table) for hook in self._hooks)
        key = (denoiser.identity, strengths)
        if key not in self._made:
            changed: Any = denoiser
            for hook, strength in zip(self._hooks, strengths, strict=True):
                if strength == 0:
                    continue
                changed = hook.change.apply(changed, None, strength, 0.0)[0]
            self._made[key] = changed
        return self._made[key]


def stages_of(hooks: WeightHooks) -> list[tuple[float, float]]:
    """The parts of the trajectory between all keyframes: (start, end) from 0 to 1."""
    starts = {frame.start_fraction for hook in hooks for frame in hook.keyframes}
    return list(pairwise([*sorted(starts | {0.0}), 1.0]))


def encoded_in_stages(
    clip: Any, encode: Callable[[Any], Any], numbers: dict[str, float] | None = None
) -> list[list[Any]]:
    """The conditioning of a text: one entry, or one for each part of the trajectory when the encoder's hooks ask so.

    encode: gives the encoding by a text encoder. numbers: further options of every entry.
    """
    stages: Sequence[tuple[float, float, Any]] = getattr(clip, "stages", None) or ((0.0, 1.0, clip),)
    pairs = []
    for start, end, stage in stages:
        encoding = encode(stage)
        options = {**encoding.extra, **(numbers or {})}
        if encoding.pooled is not None:
            options["pooled_output"] = encoding.pooled
        if len(stages) > 1:
            options |= {"start_percent": start, "end_percent": end}
        pairs.append([encoding.context, options])
    return pairs
