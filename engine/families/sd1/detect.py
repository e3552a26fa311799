"""Recognising Stable Diffusion 1 checkpoints by keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.families.contract import FamilyMatch
from engine.families.sd1.config import HEADS_MARKER, Sd1Config, read_config
from engine.families.unet.form import UNET_KINDS
from engine.families.unet.sizes import unet_prefix

__all__ = ["FAMILY", "detect"]

FAMILY = "sd1"

_TEXT_PREFIXES = ("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.")
_CONTEXT_WIDTH = 768
_MAX_INPUT_BLOCKS = 16


def detect(shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch | None:
    """Recognise a file: a U-Net with convolutions around its transformers, no class embedding, and CLIP-L's text.

    What tells it from its relatives: SD2 and SDXL have matrices for proj_in, SDXL and unCLIP a label embedding, SVD
    layers over time, the first latent-diffusion model another text encoder.
    """
    prefix = unet_prefix(shapes)
    if prefix is None:
        return None
    projection = _first_projection(shapes, prefix)
    has_labels = any(key.startswith(f"{prefix}label_emb.") for key in shapes)
    if len(projection) != 4 or has_labels or any(".time_stack." in key for key in shapes):
        return None
    text_prefix = next((p for p in _TEXT_PREFIXES if f"{p}embeddings.token_embedding.weight" in shapes), "")
    config = read_config(shapes, prefix, text_prefix or "?")
    if config is None or config.unet.out_channels != 4 or config.unet.in_channels not in UNET_KINDS:
        return None
    if not _text_fits(config, shapes):
        return None
    kind = UNET_KINDS[config.unet.in_channels]
    return FamilyMatch(FAMILY, config, f"Stable Diffusion 1 ({kind}), context width {config.unet.context_width}")


def _text_fits(config: Sd1Config, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """The text encoder is CLIP of the U-Net's context width; without any, the width must be that of CLIP-L.

    Our own marker says so of small networks that are alone in their file.
    """
    if config.text is not None:
        return config.text.width == config.unet.context_width
    has_other_text = any(key.startswith(("cond_stage_model.", "conditioner.")) for key in shapes)
    return not has_other_text and (config.unet.context_width == _CONTEXT_WIDTH or HEADS_MARKER in shapes)


def _first_projection(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> tuple[int, ...]:
    """Shape of the projection into the first transformer; small networks have none at the finest level."""
    keys = (f"{prefix}input_blocks.{number}.1.proj_in.weight" for number in range(1, _MAX_INPUT_BLOCKS))
    return next((shapes[key] for key in keys if key in shapes), ())
