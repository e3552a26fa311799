"""Many pictures of one checkpoint without a server: text → conditioning → merged forwards → pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from engine import diffusion
from engine.worker.batcher import Batcher

__all__ = ["Handover", "Painter", "PaintSettings", "Steering"]

_INPAINTING_CHANNELS = 9


@dataclass(frozen=True, slots=True)
class PaintSettings:
    """How pictures are made; `guidance` 1 is none. `together`: how many are under way at once."""

    steps: int = 20
    guidance: float = 4.0
    sampler: str = "euler"
    scheduler: str = "normal"
    size_px: int = 256
    negative: str = ""
    denoise: float = 1.0
    together: int = 32


@dataclass(frozen=True, slots=True, eq=False)
class Steering:
    """A control of every picture, on both sides of guidance.

    handle: of a CONTROL_NET. hints: what it is shown, one a prompt, uint8 [h w 3]. start, end: fractions of the
    trajectory between which it steers.
    """

    handle: Any
    hints: Sequence[np.ndarray] = field(repr=False)
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def use(self, number: int) -> diffusion.ControlUse:
        """The control of one picture."""
        return diffusion.ControlUse(self.handle, _to_image(self.hints[number]), self.strength, self.start, self.end)


@dataclass(frozen=True, slots=True, eq=False)
class Handover:
    """Another model of the same latents and texts, such as a refiner, makes all steps from number `step` on."""

    model: Any
    step: int


@dataclass(frozen=True, slots=True, eq=False)
class _Commission:
    """One picture to paint, and what may be given beside its prompt."""

    prompt: str
    seed: int
    begin: np.ndarray | None
    mask: np.ndarray | None
    controls: tuple[diffusion.ControlUse, ...]


class Painter:
    """Paints prompts with the parts of an opened checkpoint. Every picture has a seed of its own, whatever its company.

    Args:
        model, clip, vae: handles of one checkpoint, possibly with patches. An inpainting network is shown the hole and
            the picture around it where masks are given.
        handover: the model that goes on from some step; None when one model makes all of them.
    """

    def __init__(self, model: Any, clip: Any, vae: Any, handover: Handover | None = None) -> None:
        self._model, self._clip, self._vae, self._handover = model, clip, vae, handover

    def paint(
        self,
        prompts: Sequence[str],
        settings: PaintSettings,
        seed: int = 0,
        pictures: Sequence[np.ndarray] = (),
        masks: Sequence[np.ndarray] = (),
        steering: Steering | None = None,
    ) -> Iterator[np.ndarray]:
        """A picture for each prompt, uint8 [h w 3], in order; picture n has seed `seed + n`.

        Args:
            pictures: pictures to begin from, one a prompt, uint8 [h w 3]; they set the size.
            masks: beside pictures, where each may change: 1 there and 0 where it stays, float32 [h w].
            steering: a control and what it is shown for each prompt.
        """
        for start in range(0, len(prompts), settings.together):
            numbers = range(start, min(start + settings.together, len(prompts)))
            batcher, done = Batcher(), {}
            for number in numbers:
                commission = _Commission(
                    prompts[number],
                    seed + number,
                    pictures[number] if pictures else None,
                    masks[number] if masks else None,
                    () if steering is None else (steering.use(number),),
                )
                batcher.submit(number, self._flow(commission, settings), _keeper(done, number), _raiser)
            while batcher.step():
                pass
            for number in numbers:
                yield _to_bytes(self._vae.decode(done[number])[0])

    def _flow(self, commission: _Commission, settings: PaintSettings) -> diffusion.Flow[torch.Tensor]:
        sampler = diffusion.find_sampler(settings.sampler)
        sigmas = diffusion.discretize(
            settings.scheduler,
            self._model.parameterization.sigma_table,
            settings.steps,
            settings.denoise,
            drops_penultimate=sampler.drops_penultimate,
        )
        latent = self._latent(commission, settings)
        if self._handover is None:
            return diffusion.sample(
                self._guider(self._model, commission, settings), sampler, sigmas, latent, seed=commission.seed
            )
        return self._relayed(self._handover, commission, settings, sampler, sigmas, latent)

    def _relayed(
        self,
        handover: Handover,
        commission: _Commission,
        settings: PaintSettings,
        sampler: diffusion.Sampler,
        sigmas: tuple[float, ...],
        latent: diffusion.LatentInput,
    ) -> diffusion.Flow[torch.Tensor]:
        """Both parts of the steps: the first leaves its noise, the second adds none."""
        first = diffusion.cut_sigmas(sigmas, 0, handover.step, keeps_noise=True)
        rest = diffusion.cut_sigmas(sigmas, handover.step, len(sigmas) - 1, keeps_noise=False)
        guider = self._guider(self._model, commission, settings)
        noisy = yield from diffusion.sample(guider, sampler, first, latent, seed=commission.seed)
        guider = self._guider(handover.model, commission, settings)
        latent = replace(latent, samples=noisy)
        return (yield from diffusion.sample(guider, sampler, rest, latent, seed=commission.seed, adds_noise=False))

    def _latent(self, commission: _Commission, settings: PaintSettings) -> diffusion.LatentInput:
        if commission.begin is None:
            cells = settings.size_px // self._vae.downscale
            latent: dict[str, Any] = {"samples": torch.zeros(1, self._vae.num_latent_channels, cells, cells)}
        else:
            latent = {"samples": self._vae.encode(_to_image(commission.begin))}
        if commission.mask is not None:
            latent["noise_mask"] = torch.from_numpy(commission.mask)
        return diffusion.parse_latent(latent)

    def _guider(self, model: Any, commission: _Commission, settings: PaintSettings) -> diffusion.Guider:
        extras: dict[str, Any] = {}
        if commission.begin is not None and commission.mask is not None and model.in_channels == _INPAINTING_CHANNELS:
            mask = torch.from_numpy(commission.mask)[None, None]
            greyed = (_to_image(commission.begin) - 0.5) * (1.0 - mask.round())[:, 0, :, :, None] + 0.5
            extras = {"concat_mask": mask, "concat_latent_image": self._vae.encode(greyed)}

        def entries(text: str) -> Any:
            parsed = diffusion.parse_conditioning([[self._clip.encode(text).context, extras]])
            return tuple(replace(entry, controls=commission.controls) for entry in parsed)

        return diffusion.Cfg(model, entries(commission.prompt), entries(settings.negative), settings.guidance)


def _keeper(done: dict[int, torch.Tensor], number: int) -> Callable[[torch.Tensor], None]:
    def keep(latent: torch.Tensor) -> None:
        done[number] = latent

    return keep


def _raiser(error: BaseException) -> None:
    raise error


def _to_image(picture: np.ndarray) -> torch.Tensor:
    """uint8 [h w 3] → [1 h w 3] in [0, 1]."""
    return torch.from_numpy(picture).float()[None] / 255.0


def _to_bytes(picture: torch.Tensor) -> np.ndarray:
    """[h w 3] in [0, 1] → uint8."""
    return (picture * 255.0).round().clamp(0, 255).to(torch.uint8).numpy()
