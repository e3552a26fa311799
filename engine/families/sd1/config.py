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

__all__ = ["HEADS_MARKER", "Sd1Config", "read_config"]

HEADS_MARKER = "atelier.unet_head_channels"
"""Key by which a file tells that the U-Net's heads are as wide as this tensor is long; published files have none."""

_NUM_HEADS = 8
"""Attention heads of the U-Net at every width, where no marker says otherwise."""

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
    unet = read_unet_config(shapes, unet_prefix, _head_channels(shapes), _NUM_HEADS)
    if unet is None:
        return None
    text = read_clip_config(shapes, text_prefix, CLIP_L)
    autoencoder = autoencoder_config(shapes, "first_stage_model.")
    return Sd1Config(unet, unet_prefix, text, text_prefix, autoencoder, "v_pred" in shapes)


def _head_channels(shapes: Shapes) -> int | None:
    marker = shapes.get(HEADS_MARKER, ())
    return marker[0] if len(marker) == 1 and marker[0] else None
