"""Keys of checkpoints that no network uses."""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.families.text.clip_form import HARMLESS_TEXT_KEYS
from engine.weights.remap import SCALE_MARK

__all__ = ["HARMLESS_KEYS", "ema_keys", "harmless_text_keys"]

_BUFFERS = (
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "logvar", "lvlb_weights",
    "scale_factor", "global_step", r"denoiser\.sigmas",
)  # fmt: skip

HARMLESS_KEYS = (
    *_BUFFERS,
    r"model_ema\.(decay|num_updates)",
    r"first_stage_model\.(loss|model_ema)\..*",
    r"control_model\..*",
    r"v_pred",
    SCALE_MARK,
)
"""The training schedule, which is computed; counters of the moving average; losses; a ControlNet published together
with the model it was trained on, which its own loader takes; markers."""


def ema_keys(unet_names: Iterable[str]) -> set[str]:
    """Keys of the moving average of a U-Net's weights, which training checkpoints carry; it is not used."""
    return {f"model_ema.diffusion_model{name.replace('.', '')}" for name in unet_names}


def harmless_text_keys(*prefixes: str) -> tuple[str, ...]:
    """Patterns of what text encoders below these prefixes do not use."""
    return tuple(f"{re.escape(prefix)}{pattern}" for prefix in prefixes if prefix for pattern in HARMLESS_TEXT_KEYS)
