"""Telling whether a Stable Diffusion 2 file predicts noise or velocity; its keys and shapes are the same."""

from __future__ import annotations

from engine.weights.checkpoint import Checkpoint

__all__ = ["predicts_v"]

_TELLING_WEIGHT = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_V_SPREAD = 0.09
"""The published networks for 768 pixels, which predict velocity, have larger values in this weight than the others."""

_V_NAMES = ("v", "v_prediction")
_TEXT_TO_IMAGE_CHANNELS = 4


def predicts_v(checkpoint: Checkpoint, prefix: str, in_channels: int) -> bool:
    """By the file's mark, else by its metadata, else by the spread of one small weight.

    The inpainting model predicts noise. Reads one tensor of a few hundred numbers.
    """
    if "v_pred" in checkpoint.tensors:
        return True
    stated = checkpoint.metadata.get("modelspec.prediction_type")
    if stated:
        return stated.lower() in _V_NAMES
    key = prefix + _TELLING_WEIGHT
    if in_channels != _TEXT_TO_IMAGE_CHANNELS or key not in checkpoint.tensors:
        return False
    return bool(checkpoint.tensor(key).float().std(unbiased=False) > _V_SPREAD)
