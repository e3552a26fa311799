"""Saying which model an adapter file was made for, by its keys and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.weights.adapters.tensors import StoredModule

__all__ = ["describe_adapter"]

_SIGNS: tuple[tuple[str, str], ...] = (
    (r"lora_controlnet", "a Control-LoRA"),
    (r"(lora_unet_|diffusion_model\.)joint_blocks.*", "an adapter for Stable Diffusion 3"),
    (r"transformer\.transformer_blocks\..*", "an adapter for Stable Diffusion 3 or another transformer"),
    (r".*(double_blocks|single_transformer_blocks|single_blocks).*", "an adapter for Flux"),
    (r"lora_prior_.*", "an adapter for Stable Cascade"),
    (r"(lora_te2_|text_encoder_2\.|.*input_blocks_4_1_transformer_blocks_1_).*", "an adapter for Stable Diffusion XL"),
)  # fmt: skip
_CONTEXTS: Mapping[int, str] = {
    768: "an adapter for Stable Diffusion 1", 1024: "an adapter for Stable Diffusion 2",
    1280: "an adapter for the Stable Diffusion XL refiner", 2048: "an adapter for Stable Diffusion XL",
}  # fmt: skip
_CROSS_KEY = re.compile(r".*attn2[._]to_k")


def describe_adapter(modules: Mapping[str, StoredModule]) -> str:
    """A phrase for what a file is: by names that only one family has, else by the width of the text it attends to."""
    if not modules:
        return "no adapter at all"
    for pattern, phrase in _SIGNS:
        if any(re.fullmatch(pattern, name) for name in modules):
            return phrase
    for name, module in modules.items():
        if _CROSS_KEY.fullmatch(name) and "lora_down" in module.shapes:
            width = module.shapes["lora_down"][1]
            return _CONTEXTS.get(width, f"an adapter for a U-Net with context width {width}")
    return f"an adapter with modules such as {next(iter(modules))!r}"
