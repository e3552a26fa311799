"""The forms of ControlNets in files: which one a file has, its names in published form, its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from engine.families.unet.diffusers_form import published_names
from engine.families.unet.sizes import Shapes, read_encoder_config
from engine.nn.control_net import ControlNetConfig, KindsConfig
from engine.weights.remap import KeyRule

__all__ = ["DIFFERENCE_MARK", "KIND_RULES", "LORA_MARK", "ControlForm", "control_names", "find_form", "read_config"]

LORA_MARK = "lora_controlnet"
"""An empty tensor that marks a control-LoRA."""
DIFFERENCE_MARK = "difference"
"""A tensor that marks a ControlNet whose weights are differences to those of a base model."""

_PREFIXES = ("control_model.", "")
_HEAD_CHANNELS, _NUM_HEADS = 64, 8
"""Networks with matrices for projections (SD2, XL) have heads of 64 channels, those with convolutions (SD1) 8 heads."""
_KIND_HEADS = 8

KIND_RULES = (
    KeyRule(
        r"(transformer_layes\.\d+)\.attn\.in_proj_(weight|bias)",
        tuple(rf"\1.self_attn.{part}_proj.\2" for part in "qkv"),
    ),
    KeyRule(r"(transformer_layes\.\d+)\.attn\.out_proj\.(.*)", (r"\1.self_attn.out_proj.\2",)),
    KeyRule(r"(transformer_layes\.\d+)\.ln_([12])\.(.*)", (r"\1.layer_norm\2.\3",)),
    KeyRule(r"(transformer_layes\.\d+)\.mlp\.c_fc\.(.*)", (r"\1.mlp.fc1.\2",)),
    KeyRule(r"(transformer_layes\.\d+)\.mlp\.c_proj\.(.*)", (r"\1.mlp.fc2.\2",)),
)
"""The transformer of networks for several kinds of picture, to the names of our layer."""


class ControlForm(Enum):
    """How a file holds a ControlNet."""

    PUBLISHED = "published"
    """By the names of the U-Net's published files, below `control_model.` or alone."""
    DIFFUSERS = "diffusers"
    LORA = "control-LoRA"
    """Low-rank differences to a base model, what the base has not as it is."""
    DIFFERENCE = "difference"
    """Whole differences to a base model."""


@dataclass(frozen=True, slots=True)
class FoundForm:
    """A form, and what its keys begin with."""

    form: ControlForm
    prefix: str = ""


def find_form(shapes: Shapes) -> FoundForm | None:
    """The form of a file; None when it is no ControlNet."""
    if LORA_MARK in shapes:
        return FoundForm(ControlForm.LORA)
    if "controlnet_cond_embedding.conv_in.weight" in shapes:
        return FoundForm(ControlForm.DIFFUSERS)
    for prefix in _PREFIXES:
        if f"{prefix}zero_convs.0.0.weight" in shapes:
            form = ControlForm.DIFFERENCE if DIFFERENCE_MARK in shapes else ControlForm.PUBLISHED
            return FoundForm(form, prefix)
    return None


def control_names(shapes: Shapes, found: FoundForm) -> dict[str, str]:
    """Published name → key in the file, for the control network's part of it.

    A key that is not understood keeps its name. Low-rank weights keep the names of their two halves.
    """
    if found.form is not ControlForm.DIFFUSERS:
        marks = (LORA_MARK, DIFFERENCE_MARK)
        start = len(found.prefix)
        return {key[start:]: key for key in shapes if key.startswith(found.prefix) and key not in marks}
    num_convolutions = 0
    while f"controlnet_cond_embedding.blocks.{num_convolutions}.weight" in shapes:
        num_convolutions += 1
    return {_published(name, num_convolutions): key for name, key in published_names(shapes).items()}


def read_config(shapes: Shapes, *, pools_globally: bool = False) -> ControlNetConfig | None:
    """Sizes of a control network from shapes by published names; None when something it needs is not there."""
    whole = _with_products(shapes)
    encoder = read_encoder_config(whole, "", None, _NUM_HEADS)
    hints = _hint_channels(whole)
    if encoder is None or hints is None:
        return None
    if encoder.uses_linear:
        encoder = replace(encoder, head_channels=_HEAD_CHANNELS)
    return ControlNetConfig(encoder, hints, _kinds(whole), pools_globally)


def _published(name: str, num_convolutions: int) -> str:
    parts = name.split(".")
    end = parts[-1]
    if parts[0] == "controlnet_cond_embedding":
        numbers = {"conv_in": 0, "conv_out": 2 * num_convolutions + 2}
        number = numbers[parts[1]] if parts[1] in numbers else 2 * int(parts[2]) + 2
        return f"input_hint_block.{number}.{end}"
    if parts[0] == "controlnet_down_blocks":
        return f"zero_convs.{parts[1]}.0.{end}"
    if parts[0] == "controlnet_mid_block":
        return f"middle_block_out.0.{end}"
    return name


def _with_products(shapes: Shapes) -> Mapping[str, tuple[int, ...]]:
    """The shapes with those of the weights that pairs of low-rank halves make."""
    products = {
        f"{name[:-3]}.weight": (shape[0], *shapes[f"{name[:-3]}.down"][1:])
        for name, shape in shapes.items()
        if name.endswith(".up") and f"{name[:-3]}.down" in shapes
    }
    return {**shapes, **products}


def _hint_channels(shapes: Shapes) -> tuple[int, ...] | None:
    """The picture's channels and those of each size: two convolutions a size, then the one to the encoder's width."""
    found: list[tuple[int, ...]] = []
    while (shape := shapes.get(f"input_hint_block.{2 * len(found)}.weight", ())) and len(shape) == 4:
        found.append(shape)
    if len(found) < 2 or len(found) % 2:
        return None
    return (found[0][1], *(shape[0] for shape in found[:-1:2]))


def _kinds(shapes: Shapes) -> KindsConfig | None:
    table, told = shapes.get("task_embedding", ()), shapes.get("control_add_embedding.linear_1.weight", ())
    if len(table) != 2 or len(told) != 2:
        return None
    num_layers = 0
    while f"transformer_layes.{num_layers}.ln_1.weight" in shapes:
        num_layers += 1
    return KindsConfig(table[0], table[1], num_layers, _KIND_HEADS, told[1] // table[0])
