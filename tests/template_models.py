"""Small files under the names that the shipped workflows ask for, of the structure of the published ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.nn.unet import UNetConfig
from engine.nn.upscaler import DenseUpscaler, DenseUpscalerConfig
from tests.control_files import control_file
from tests.tiny_families import random_weights, small_file
from tests.tiny_sd1 import shallow_checkpoint

__all__ = ["TEMPLATE_FILES", "write_template_models"]

STARTER = Path(__file__).resolve().parents[1] / "models" / "checkpoints" / "starter.safetensors"
TEMPLATE_FILES: Mapping[str, tuple[str, ...]] = {
    "checkpoints": (
        "starter.safetensors",
        "v1-5-pruned-emaonly-fp16.safetensors",
        "dreamshaper_8.safetensors",
        "512-inpainting-ema.safetensors",
        "sd_xl_base_1.0.safetensors",
        "sd_xl_refiner_1.0.safetensors",
        "sd_xl_turbo_1.0_fp16.safetensors",
    ),
    "controlnet": ("control_v11p_sd15_canny_fp16.safetensors", "control_v11f1e_sd15_tile_fp16.safetensors"),
    "loras": ("starter_lora_watercolor.safetensors", "starter_lora_woodcut.safetensors"),
    "upscale_models": ("starter_upscaler_x2.safetensors",),
    "embeddings": ("starter_purple_house.safetensors",),
}
"""Model folder → the files that shipped workflows name."""

_XL = UNetConfig(4, 4, 32, (1, 2), 1, (0, 2), 2, 96, head_channels=64, uses_linear=True, vector_width=40 + 6 * 256)
_REFINER = replace(_XL, context_width=64, vector_width=40 + 5 * 256)
_INPAINTING = UNetConfig(9, 4, 32, (1, 2), 1, (1, 0), 1, 32, head_channels=64, uses_linear=True)


def write_template_models(models: Path) -> None:
    """Write those that are not there into the folders below `models`, all but the starter, which is shipped."""
    makers: dict[str, Callable[[Path], Path]] = {
        "v1-5-pruned-emaonly-fp16.safetensors": shallow_checkpoint,
        "dreamshaper_8.safetensors": _other_shallow,
        "512-inpainting-ema.safetensors": lambda folder: small_file("sd2", folder, _INPAINTING),
        "sd_xl_base_1.0.safetensors": lambda folder: small_file("sdxl", folder, _XL),
        "sd_xl_refiner_1.0.safetensors": lambda folder: small_file("sdxl_refiner", folder, _REFINER),
        "sd_xl_turbo_1.0_fp16.safetensors": lambda folder: small_file("sdxl", folder, _XL),
        "control_v11p_sd15_canny_fp16.safetensors": control_file,
        "control_v11f1e_sd15_tile_fp16.safetensors": lambda folder: control_file(folder, seed=1),
        "starter_lora_watercolor.safetensors": lambda folder: _lora(folder, 0),
        "starter_lora_woodcut.safetensors": lambda folder: _lora(folder, 1),
        "starter_upscaler_x2.safetensors": _upscaler,
        "starter_purple_house.safetensors": _embedding,
    }
    for kind, names in TEMPLATE_FILES.items():
        folder = models / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            if name in makers and not (folder / name).exists():
                makers[name](folder).rename(folder / name)


def _other_shallow(folder: Path) -> Path:
    first = shallow_checkpoint(folder)
    tensors = {key: weight * 1.01 for key, weight in load_file(first).items()}
    save_file(tensors, first)
    return first


def _shape(ending: str) -> tuple[str, tuple[int, ...]]:
    """The first key of the starter with this ending, and its shape."""
    with safe_open(STARTER, "pt") as file:
        key = next(key for key in sorted(file.keys()) if key.endswith(ending))
        return key, tuple(file.get_slice(key).get_shape())


def _lora(folder: Path, seed: int) -> Path:
    key, shape = _shape("attn1.to_out.0.weight")
    module = key.removeprefix("model.").removesuffix(".weight")
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"{module}.lora_up.weight": torch.randn(shape[0], 2, generator=generator) * 0.02,
        f"{module}.lora_down.weight": torch.randn(2, shape[1], generator=generator) * 0.02,
    }
    save_file(tensors, folder / "lora.safetensors")
    return folder / "lora.safetensors"


def _embedding(folder: Path) -> Path:
    _, shape = _shape("token_embedding.weight")
    save_file({"emb_params": torch.zeros(2, shape[1])}, folder / "embedding.safetensors")
    return folder / "embedding.safetensors"


def _upscaler(folder: Path) -> Path:
    torch.manual_seed(0)
    save_file(random_weights(DenseUpscaler(DenseUpscalerConfig(8, 2, 4, num_doublings=2))), folder / "up.safetensors")
    return folder / "up.safetensors"
