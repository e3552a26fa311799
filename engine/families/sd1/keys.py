"""Keys of Stable Diffusion 1 files: what is renamed, and what is harmless."""

from __future__ import annotations

from collections.abc import Iterable

from engine.weights.remap import KeyRule

__all__ = ["HARMLESS_KEYS", "TEXT_RULES", "ema_keys"]

TEXT_RULES = (
    KeyRule(r"(?:text_model\.)?embeddings\.position_ids", ()),
    KeyRule(r"logit_scale", ()),
    KeyRule(r"((?:embeddings|encoder|final_layer_norm)\..*)", (r"text_model.\1",)),
)
"""Below `cond_stage_model.transformer.`: some tools drop `text_model.` from the names."""

_BUFFERS = (
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "logvar", "lvlb_weights",
    "scale_factor", "global_step",
)  # fmt: skip

HARMLESS_KEYS = (
    *_BUFFERS,
    r"model_ema\.(decay|num_updates)",
    r"first_stage_model\.(loss|model_ema)\..*",
    r"cond_stage_model\.transformer\.((text_model\.)?embeddings\.position_ids|logit_scale)",
    r"cond_stage_model\.logit_scale",
    r"control_model\..*",
    r"v_pred",
)
"""The training schedule, which is computed; counters of the moving average; losses; position numbers; a ControlNet
published together with the model it was trained on, which its own loader takes; markers."""


def ema_keys(unet_names: Iterable[str]) -> set[str]:
    """Keys of the moving average of a U-Net's weights, which training checkpoints carry; it is not used."""
    return {f"model_ema.diffusion_model{name.replace('.', '')}" for name in unet_names}
