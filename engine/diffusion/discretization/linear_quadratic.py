"""Levels that fall linearly at first and quadratically after."""

from __future__ import annotations

from engine.diffusion.sigma_table import SigmaTable

__all__ = ["linear_quadratic"]


def linear_quadratic(table: SigmaTable, steps: int, threshold: float = 0.025) -> tuple[float, ...]:
    """Half the steps remove the first `threshold` of the noise evenly, the rest follows a parabola to 0.

    The parabola continues the line with equal value and slope.
    Source: Polyak et al. 2024 (Movie Gen), arXiv:2410.13720, section 3.4.2, as released with Genmo's Mochi.
    """
    if steps == 1:
        return (table.sigma_max, 0.0)
    linear_steps = steps // 2
    quadratic_steps = steps - linear_steps
    excess = linear_steps - threshold * steps
    square = excess / (linear_steps * quadratic_steps**2)
    slope = threshold / linear_steps - 2 * excess / quadratic_steps**2
    offset = square * linear_steps**2
    removed = [step * threshold / linear_steps for step in range(linear_steps)]
    removed += [square * step**2 + slope * step + offset for step in range(linear_steps, steps)]
    return (*((1.0 - part) * table.sigma_max for part in removed), 0.0)
