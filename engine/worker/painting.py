"""Many pictures of one checkpoint without a server: text → conditioning → merged forwards → pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine import diffusion
from engine.worker.batcher import Batcher

__all__ = ["Painter", "PaintSettings"]


@dataclass(frozen=True, slots=True)
class PaintSettings:
    """How pictures are made; `guidance` 1 is none. `together`: how many are under way at once."""

    steps: int = 20
    guidance: float = 5.0
    sampler: str = "euler"
    scheduler: str = "normal"
    size_px: int = 256
    negative: str = ""
    denoise: float = 1.0
    together: int = 32


class Painter:
    """Paints prompts with the parts of an opened checkpoint. Every picture has a seed of its own, whatever its company.

    Args:
        model, clip, vae: handles of one checkpoint, possibly with patches.
    """

    def __init__(self, model: Any, clip: Any, vae: Any) -> None:
        self._model, self._clip, self._vae = model, clip, vae

    def paint(
        self,
        prompts: Sequence[str],
        settings: PaintSettings,
        seed: int = 0,
        pictures: Sequence[np.ndarray] = (),
        masks: Sequence[np.ndarray] = (),
    ) -> Iterator[np.ndarray]:
        """A picture for each prompt, uint8 [h w 3], in order; picture n has seed `seed + n`.

        Args:
            pictures: pictures to begin from, one a prompt, uint8 [h w 3]; they set the size.
            masks: beside pictures, where each may change: 1 there and 0 where it stays, float32 [h w].
        """
        negative = self._entries(settings.negative)
        for start in range(0, len(prompts), settings.together):
            numbers = range(start, min(start + settings.together, len(prompts)))
            batcher, done = Batcher(), {}
            for number in numbers:
                begin = pictures[number] if pictures else None
                mask = masks[number] if masks else None
                flow = self._flow(prompts[number], negative, settings, seed + number, begin, mask)
                batcher.submit(number, flow, _keeper(done, number), _raiser)
            while batcher.step():
                pass
            for number in numbers:
                yield _to_bytes(self._vae.decode(done[number])[0])

    def _entries(self, text: str) -> Any:
        return diffusion.parse_conditioning([[self._clip.encode(text).context, {}]])

    def _flow(
        self,
        prompt: str,
        negative: Any,
        settings: PaintSettings,
        seed: int,
        begin: np.ndarray | None,
        mask: np.ndarray | None,
    ) -> diffusion.Flow[torch.Tensor]:
        sampler = diffusion.find_sampler(settings.sampler)
        sigmas = diffusion.discretize(
            settings.scheduler,
            self._model.parameterization.sigma_table,
            settings.steps,
            settings.denoise,
            drops_penultimate=sampler.drops_penultimate,
        )
        cells = settings.size_px // self._vae.downscale
        if begin is None:
            samples = torch.zeros(1, self._vae.num_latent_channels, cells, cells)
        else:
            samples = self._vae.encode(torch.from_numpy(begin).float()[None] / 255.0)
        positive = self._entries(prompt)
        guider: diffusion.Guider = diffusion.Cfg(self._model, positive, negative, settings.guidance)
        latent: dict[str, Any] = {"samples": samples}
        if mask is not None:
            latent["noise_mask"] = torch.from_numpy(mask)
        return diffusion.sample(guider, sampler, sigmas, diffusion.parse_latent(latent), seed=seed)


def _keeper(done: dict[int, torch.Tensor], number: int) -> Callable[[torch.Tensor], None]:
    def keep(latent: torch.Tensor) -> None:
        done[number] = latent

    return keep


def _raiser(error: BaseException) -> None:
    raise error


def _to_bytes(picture: torch.Tensor) -> np.ndarray:
    """[h w 3] in [0, 1] → uint8."""
    return (picture * 255.0).round().clamp(0, 255).to(torch.uint8).numpy()
