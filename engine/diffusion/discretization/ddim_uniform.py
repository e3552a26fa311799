"""The step selection of the DDIM paper's code."""

from __future__ import annotations

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["ddim_uniform"]


def ddim_uniform(table: SigmaTable, steps: int) -> tuple[float, ...]:
    """Entries 1, 1 + s, 1 + 2s … with s = n // steps, largest first, then 0. May give more levels than steps + 1.

    Source: Song et al. 2021, arXiv:2010.02502, appendix D.2 (linear selection).
    """
    sigmas = table.sigmas.tolist()
    picked = sigmas[1 :: max(len(sigmas) // steps, 1)]
    if abs(sigmas[1]) < 1e-5:
        picked = sigmas[1 :: max(len(sigmas) // (steps + 1), 1)]
        return tuple(reversed(picked))
    return (*reversed(picked), 0.0)
