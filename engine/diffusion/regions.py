"""One side of a guidance (say, the positive prompt) as weighted regions of the picture and of the trajectory.

Every conditioning entry becomes a region: inputs for the network, a window, a weight per place and a range of noise
levels. The prediction of a side is the weighted mean of its active regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import Area, ConditioningEntry, PercentArea
from engine.diffusion.denoiser import Denoiser
from engine.diffusion.guidance.guidance import Ask
from engine.diffusion.guidance.reuse import Predicting
from engine.diffusion.hooks import HookedModel
from engine.diffusion.requests import DenoiseRequest, Flow, Latent, RequestGroup

__all__ = ["Region", "asker", "bind_regions", "predict", "predictions", "share_windows"]

MAX_FADE_CELLS = 8
"""Widest band, in latent cells, over which a rectangle fades at edges inside the picture; never over a quarter."""

MIN_BOX_CELLS = 8
"""Smallest edge of the box around a mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One conditioning entry, ready for a latent of known size.

    inputs: for the network.
    window: part of the latent to predict, None for all of it.
    weight: against other regions; a number, or per place of the window [1|b 1 h w].
    sigma_start, sigma_end: noise levels it applies to, both included.
    model: changes the denoiser it is asked of, None for the denoiser itself.
    is_default: it counts where no other region of its side does.
    """

    inputs: ConditionInputs
    window: Area | None
    weight: float | Tensor
    sigma_start: float
    sigma_end: float
    model: HookedModel | None = None
    is_default: bool = False

    def covers(self, sigma: float) -> bool:
        """Whether the region applies at this noise level."""
        return self.sigma_end <= sigma <= self.sigma_start

    def crop(self, latent: Tensor) -> Tensor:
        """The window of a latent-sized tensor."""
        if self.window is None:
            return latent
        rows = slice(self.window.top, self.window.top + self.window.height)
        columns = slice(self.window.left, self.window.left + self.window.width)
        return latent[..., rows, columns]

    def request(self, denoiser: Denoiser, x: Latent, sigma: float) -> DenoiseRequest:
        """The prediction this region needs."""
        inputs = self.inputs.at(sigma)
        if self.window is not None:
            inputs = inputs.crop(self.window.top, self.window.left, self.window.height, self.window.width)
        asked = denoiser if self.model is None else self.model.at(denoiser, sigma)
        return DenoiseRequest(asked, self.crop(x), sigma, inputs)


def bind_regions(
    denoiser: Denoiser, entries: Iterable[ConditioningEntry], latent: Tensor, noise_mask: Tensor | None, seed: int = 0
) -> tuple[Region, ...]:
    """Regions of these entries for a latent [b c h w] in network scale on the denoiser's device."""
    table = denoiser.parameterization.sigma_table
    regions = []
    for entry in entries:
        window, weight = _place(entry, latent)
        regions.append(
            Region(
                inputs=denoiser.condition(replace(entry, seed=seed), latent, noise_mask),
                window=window,
                weight=weight,
                sigma_start=table.sigma_at_fraction(entry.start_fraction),
                sigma_end=table.sigma_at_fraction(entry.end_fraction),
                model=HookedModel(entry.hooks) if entry.hooks else None,
                is_default=entry.is_default,
            )
        )
    return tuple(regions)


def share_windows(own: Sequence[Region], others: Sequence[Region]) -> tuple[Region, ...]:
    """`own`, with a twin for each window of the other side that `own` does not have.

    Guidance compares predictions of the same crop: a network sees less context in a window, and the difference between
    a cropped and a whole prediction is not the difference between two prompts. The twin takes its inputs from the
    smallest of `own` around the window.
    """
    found = list(own)
    for other in others:
        if other.window is None:
            continue
        around = [r for r in found if r.window is None or _contains(r.window, other.window)]
        if not around:
            continue
        source = min(around, key=lambda r: float("inf") if r.window is None else r.window.height * r.window.width)
        if source.window != other.window:
            found.append(replace(other, inputs=source.inputs))
    return tuple(found)


def predict(denoiser: Denoiser, sides: Sequence[Sequence[Region]], x: Latent, sigma: float) -> Flow[list[Latent]]:
    """One `denoised` per side, all asked for in one group; zeros for a side without an active region."""
    active = [_filled_up([region for region in side if region.covers(sigma)], x) for side in sides]
    requests = tuple(region.request(denoiser, x, sigma) for side in active for region in side)
    answers = iter((yield RequestGroup(requests)) if requests else ())
    return [_combine(side, [next(answers) for _ in side], x) for side in active]


def predictions(denoiser: Denoiser) -> Predicting:
    """`predict` by this denoiser for one run, with whatever its guidance leaves out."""

    def plain(sides: Sequence[Sequence[Region]], x: Latent, sigma: float) -> Flow[list[Latent]]:
        return (yield from predict(denoiser, sides, x, sigma))

    reuse = denoiser.guidance.reuse
    return plain if reuse is None else reuse.begin(denoiser, plain)


def asker(denoiser: Denoiser, wanted: Sequence[Region], unwanted: Sequence[Region], x: Latent, sigma: float) -> Ask:
    """ask(change): the prediction of a side at this point, or at another one, by a changed denoiser of equal inputs."""

    def ask(change: Callable[[Any], Denoiser], *, avoids: bool = False, at: Latent | None = None) -> Flow[Latent]:
        side = unwanted if avoids else wanted
        (answer,) = yield from predict(change(denoiser), (side,), x if at is None else at, sigma)
        return answer

    return ask


def _filled_up(regions: list[Region], x: Latent) -> list[Region]:
    """The regions with their defaults where nothing else covers the picture; without those that have no place left."""
    if not any(region.is_default for region in regions):
        return regions
    others = [region for region in regions if not region.is_default]
    left = torch.ones_like(x[:1, :1])
    for region in others:
        weight = region.weight if isinstance(region.weight, float) else region.weight.amax(dim=0, keepdim=True)
        region.crop(left).sub_(weight)
    left.clamp_(min=0)
    if not bool(left.any()):
        return others
    return [replace(r, weight=r.crop(left) * r.weight) if r.is_default else r for r in regions]


def _combine(regions: Sequence[Region], answers: Sequence[Latent], x: Latent) -> Latent:
    if len(regions) == 1 and regions[0].window is None and isinstance(regions[0].weight, float) and regions[0].weight:
        return answers[0]
    total, weights = torch.zeros_like(x), torch.full_like(x, 1e-37)
    for region, denoised in zip(regions, answers, strict=True):
        region.crop(total).add_(denoised * region.weight)
        region.crop(weights).add_(region.weight)
    return total / weights


def _contains(outer: Area, inner: Area) -> bool:
    return (
        outer.top <= inner.top
        and outer.left <= inner.left
        and inner.top + inner.height <= outer.top + outer.height
        and inner.left + inner.width <= outer.left + outer.width
    )


def _place(entry: ConditioningEntry, latent: Tensor) -> tuple[Area | None, float | Tensor]:
    """Window and weight of an entry."""
    height, width = latent.shape[-2:]
    window = _window(entry.area, height, width)
    if entry.mask is None:
        if window is None:
            return None, entry.strength
        return window, _faded(window, height, width, latent) * entry.strength
    mask = _mask(entry.mask, latent)
    if entry.is_bounded_by_mask:
        window = _box(mask)
    weight = mask * (entry.mask_strength * entry.strength)
    if window is not None:
        weight = weight[..., window.top : window.top + window.height, window.left : window.left + window.width]
    return window, weight


def _window(area: Area | PercentArea | None, height: int, width: int) -> Area | None:
    """The area in cells, kept inside a latent of this size."""
    if isinstance(area, PercentArea):
        area = Area(
            max(1, round(area.height * height)),
            max(1, round(area.width * width)),
            round(area.top * height),
            round(area.left * width),
        )
    return None if area is None else _inside(area, height, width)


def _inside(area: Area, height: int, width: int) -> Area:
    top, left = min(area.top, height - 1), min(area.left, width - 1)
    return Area(min(area.height, height - top), min(area.width, width - left), top, left)


def _faded(window: Area, height: int, width: int, like: Tensor) -> Tensor:
    """1 inside the window, fading linearly towards edges that lie inside the picture; [1 1 h w]."""
    rows = _ramp(window.height, window.top > 0, window.top + window.height < height)
    columns = _ramp(window.width, window.left > 0, window.left + window.width < width)
    return (rows[:, None] * columns).to(like)[None, None]


def _ramp(length: int, fades_in: bool, fades_out: bool) -> Tensor:
    fade = min(MAX_FADE_CELLS, length // 4)
    ramp, steps = torch.ones(length), (torch.arange(fade) + 1) / max(fade, 1)
    if fades_in:
        ramp[:fade] *= steps
    if fades_out:
        ramp[length - fade :] *= steps.flip(0)
    return ramp


def _mask(mask: Tensor, latent: Tensor) -> Tensor:
    """The mask at latent resolution, [1|b 1 h w]."""
    planes = mask.reshape(-1, 1, *mask.shape[-2:]).to(latent)
    if planes.shape[-2:] != latent.shape[-2:]:
        planes = torch.nn.functional.interpolate(planes, size=tuple(latent.shape[-2:]), mode="bilinear")
    num_items = latent.shape[0]
    if planes.shape[0] not in (1, num_items):
        planes = planes.repeat(-(-num_items // planes.shape[0]), 1, 1, 1)[:num_items]
    return planes


def _box(mask: Tensor) -> Area:
    """The smallest window around the mask's non-zero places, at least MIN_BOX_CELLS wide and high where they fit."""
    height, width = mask.shape[-2:]
    filled = (mask != 0).flatten(0, -3).any(dim=0)
    rows, columns = filled.any(dim=1).nonzero(), filled.any(dim=0).nonzero()
    if not len(rows):
        return _inside(Area(MIN_BOX_CELLS, MIN_BOX_CELLS, 0, 0), height, width)
    top, left = int(rows[0]), int(columns[0])
    box = Area(
        max(MIN_BOX_CELLS, int(rows[-1]) - top + 1), max(MIN_BOX_CELLS, int(columns[-1]) - left + 1), top, left
    )  # fmt: skip
    return _inside(box, height, width)
