"""Sizes of a Stable Diffusion 1 checkpoint, read from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.families.autoencoder.opening import autoencoder_config
from engine.families.text.clip_form import CLIP_L, read_clip_config
from engine.families.unet.sizes import read_unet_config
from engine.nn.autoencoder import AutoencoderConfig
from engine.nn.text_transformer import TextConfig
from engine.nn.unet import UNetConfig

__all__ = ["Sd1Config", "read_config"]

_NUM_HEADS = 8
"""Attention heads of the U-Net at every width; files do not tell."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Sd1Config:
    """The parts of a file: sizes and key prefix of each; None for a part it lacks. `predicts_v`: marked as such."""

    unet: UNetConfig
    unet_prefix: str
    text: TextConfig | None
    text_prefix: str
    autoencoder: AutoencoderConfig | None
    predicts_v: bool = False


def read_config(shapes: Shapes, unet_prefix: str, text_prefix: str) -> Sd1Config | None:
    """Sizes of all parts; None when there is no U-Net of this family."""
    unet = read_unet_config(shapes, unet_prefix, None, _NUM_HEADS)
    if unet is None:
        return None
    text = read_clip_config(shapes, text_prefix, CLIP_L)
    autoencoder = autoencoder_config(shapes, "first_stage_model.")
    return Sd1Config(unet, unet_prefix, text, text_prefix, autoencoder, "v_pred" in shapes)
