"""What adapter files call the modules of a U-Net: by the published names, or by diffusers' with its own numbering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.nn.unet import UNetConfig

__all__ = ["OUTSIDE_NAMES", "RESNET_NAMES", "diffusers_module", "diffusers_places", "unet_module_names"]

OUTSIDE_NAMES = (
    ("time_embed.0", "time_embedding.linear_1"), ("time_embed.2", "time_embedding.linear_2"),
    ("time_embed.cond_proj", "time_embedding.cond_proj"),
    ("label_emb.0.0", "add_embedding.linear_1"), ("label_emb.0.2", "add_embedding.linear_2"),
    ("label_emb", "class_embedding"),
    ("input_blocks.0.0", "conv_in"), ("out.0", "conv_norm_out"), ("out.2", "conv_out"),
)  # fmt: skip
"""Published name → diffusers' name of layers outside the blocks."""

RESNET_NAMES = (
    ("in_layers.0", "norm1"), ("in_layers.2", "conv1"), ("emb_layers.1", "time_emb_proj"), ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"), ("skip_connection", "conv_shortcut"),
)  # fmt: skip
"""Likewise of the layers in a residual block."""


def unet_module_names(config: UNetConfig, modules: Iterable[str]) -> dict[str, str]:
    """Every spelling of every module → the module's own name; first the one of kohya's scripts.

    Spellings: `lora_unet_` (kohya) and `lycoris_` with underscores, `unet.` and `base_model.model.` (diffusers, PEFT)
    with dots, `diffusion_model.` and `model.diffusion_model.` before published names, and diffusers' bare names.
    """
    places = diffusers_places(config)
    spelled: dict[str, str] = {}
    for module in modules:
        theirs = diffusers_module(module, places)
        for name in dict.fromkeys((theirs, module)):
            flat = name.replace(".", "_")
            for spelling in (f"lora_unet_{flat}", f"lycoris_{flat}", f"unet.{name}"):
                spelled[spelling] = module
        for spelling in (theirs, f"base_model.model.{theirs}", f"base_model.model.unet.{theirs}"):
            spelled[spelling] = module
        for spelling in (f"diffusion_model.{module}", f"model.diffusion_model.{module}"):
            spelled[spelling] = module
    return spelled


def diffusers_module(module: str, places: Mapping[str, str]) -> str:
    """diffusers' name of a module with a published name; `places` are those of `diffusers_places`."""
    if module in places:
        return places[module]
    parts = module.split(".")
    for length in (3, 2):
        place = places.get(".".join(parts[:length]))
        if place is None:
            continue
        inner = ".".join(parts[length:])
        if ".resnets." in place:
            inner = dict(RESNET_NAMES).get(inner, inner)
        return f"{place}.{inner}"
    return module


def diffusers_places(config: UNetConfig) -> dict[str, str]:
    """Published name → diffusers' name of the layers of all blocks, for a U-Net of these sizes."""
    places = dict(OUTSIDE_NAMES)
    last = len(config.channel_mult) - 1
    number = 1
    for level, depths in enumerate(config.depths_down):
        for index, depth in enumerate(depths):
            _add_pair(places, f"input_blocks.{number}", f"down_blocks.{level}", index, depth)
            number += 1
        if level != last:
            places[f"input_blocks.{number}.0.op"] = f"down_blocks.{level}.downsamplers.0.conv"
            number += 1
    _add_pair(places, "middle_block", "mid_block", 0, config.middle_depth)
    places[f"middle_block.{2 if config.middle_depth else 1}"] = "mid_block.resnets.1"
    number = 0
    for place, depths in enumerate(reversed(config.depths_up)):
        for index, depth in enumerate(depths):
            _add_pair(places, f"output_blocks.{number}", f"up_blocks.{place}", index, depth)
            if place != last and index == config.num_res_blocks:
                conv = f"output_blocks.{number}.{2 if depth else 1}.conv"
                places[conv] = f"up_blocks.{place}.upsamplers.0.conv"
            number += 1
    return places


def _add_pair(places: dict[str, str], block: str, theirs: str, index: int, depth: int) -> None:
    """A residual block and the transformer behind it, if there is one."""
    places[f"{block}.0"] = f"{theirs}.resnets.{index}"
    if depth:
        places[f"{block}.1"] = f"{theirs}.attentions.{index}"
