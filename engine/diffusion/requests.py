"""The vocabulary between whoever wants predictions and whoever computes them.

A flow is a generator: it yields a `RequestGroup`, is sent one `denoised` per request (same order, same shape as the
request's x) and finally returns its result. `close()` cancels it. State lives in its local variables, so any number of
flows interleave freely.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.denoiser import Denoiser

__all__ = [
    "DenoiseRequest",
    "Flow",
    "FullGuide",
    "Guide",
    "Guided",
    "Latent",
    "RequestGroup",
    "Sigmas",
    "answer",
    "denoised_only",
    "drive",
]

Latent = Tensor
"""Encoded picture, float32 [b c h w]; video [b c t h w]."""

Sigmas = Sequence[float]
"""Falling noise levels, steps + 1 of them, the last usually 0. Plain numbers: step arithmetic needs no device."""


@dataclass(frozen=True, slots=True, eq=False)
class DenoiseRequest:
    """One wanted prediction.

    denoiser: who computes it.
    x: noisy latent [b c h w], float32, on the denoiser's device; never modified.
    sigma: noise level of all items of x.
    inputs: what the prediction is conditioned on.
    """

    denoiser: Denoiser
    x: Latent
    sigma: float
    inputs: ConditionInputs

    @property
    def num_items(self) -> int:
        """Rows of x."""
        return self.x.shape[0]

    @property
    def levels(self) -> Tensor:
        """The noise level of each item, float32 [b], on the CPU: who needs the numbers does not wait for the device."""
        return torch.full((self.num_items,), self.sigma)

    @property
    def batch_key(self) -> Hashable:
        """Requests of equal key fit one forward if their contexts do (`can_share_context`).

        Holds what changes the forward and nothing else: not seed, sigma, step, sampler or guidance scale.
        """
        return (self.denoiser.identity, self.denoiser.device, tuple(self.x.shape[1:]), self.inputs.shape_class)


@dataclass(frozen=True, slots=True, eq=False)
class RequestGroup:
    """Predictions a flow needs before it can go on; they may share a forward."""

    requests: tuple[DenoiseRequest, ...]


_Result = TypeVar("_Result")

Flow = Generator[RequestGroup, Sequence[Latent], _Result]


class Guide(Protocol):
    """guide(x, sigma): a flow that asks for the predictions a guidance method wants and returns one `denoised`."""

    def __call__(self, x: Latent, sigma: float) -> Flow[Latent]:
        """Start one evaluation at noise level sigma; x is not modified."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Guided:
    """All that a guidance method tells of one point.

    denoised: the guided prediction.
    unguided: the prediction without the positive side; `denoised` where nothing guides or nobody wanted it.
    """

    denoised: Latent
    unguided: Latent


class FullGuide(Protocol):
    """Like a Guide, but returns the unguided prediction as well."""

    def __call__(self, x: Latent, sigma: float) -> Flow[Guided]:
        """Start one evaluation at noise level sigma; x is not modified."""
        ...


def denoised_only(guide: FullGuide) -> Guide:
    """The guide most methods need."""

    def plain(x: Latent, sigma: float) -> Flow[Latent]:
        return (yield from guide(x, sigma)).denoised

    return plain


def answer(group: RequestGroup) -> list[Latent]:
    """Compute each request of a group by itself, without merging."""
    return [r.denoiser.denoise(r.x, r.levels, r.inputs) for r in group.requests]


def drive(flow: Flow[_Result]) -> _Result:
    """Run one flow to its end on its own; the reference that batched runs are compared with."""
    try:
        group = next(flow)
        while True:
            group = flow.send(answer(group))
    except StopIteration as done:
        return done.value
    finally:
        flow.close()
