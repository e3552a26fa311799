"""Saying what a weight file is when no family opens it, by telling keys of published layouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

__all__ = ["describe_layout"]

_UNET = "model.diffusion_model."
_TEXT_KEY = f"{_UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"

_SIGNS: tuple[tuple[str, str], ...] = (
    ("model.diffusion_model.joint_blocks.0.x_block.attn2.qkv.weight", "a Stable Diffusion 3.5 medium checkpoint"),
    ("model.diffusion_model.joint_blocks.37.x_block.attn.qkv.weight", "a Stable Diffusion 3.5 large checkpoint"),
    ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "a Stable Diffusion 3 checkpoint"),
    ("model.diffusion_model.input_blocks.1.1.time_stack.0.norm1.weight", "a Stable Video Diffusion checkpoint"),
    ("depth_model.model.pretrained.model.cls_token", "a Stable Diffusion 2 depth checkpoint"),
    ("low_scale_model.betas", "a Stable Diffusion x4 upscaler checkpoint"),
    ("embedder.model.visual.proj", "a Stable Diffusion 2.1 unCLIP checkpoint"),
    ("conditioner.embedders.1.model.ln_final.weight", "a Stable Diffusion XL checkpoint"),
    ("cond_stage_model.transformer.attn_layers.layers.0.0.weight", "a latent-diffusion text-to-image checkpoint"),
    ("lora_controlnet", "a control-LoRA"),
    ("control_model.time_embed.0.weight", "a ControlNet"),
    ("input_hint_block.0.weight", "a ControlNet"),
    ("controlnet_cond_embedding.conv_in.weight", "a ControlNet in diffusers form"),
    ("id_encoder.visual_projection_2.weight", "a PhotoMaker file"),
    ("position_net.null_positive_feature", "a GLIGEN file"),
    ("body.0.block1.weight", "a T2I-Adapter"),
    ("body.0.body.0.block1.weight", "a light T2I-Adapter"),
    ("adapter.body.0.resnets.0.block1.weight", "a T2I-Adapter in diffusers form"),
    ("down_blocks.0.resnets.0.conv1.weight", "a U-Net in diffusers form"),
    ("encoder.down.0.block.0.conv1.weight", "an autoencoder (VAE)"),
    ("encoder.down_blocks.0.resnets.0.conv1.weight", "an autoencoder (VAE) in diffusers form"),
    ("text_model.encoder.layers.0.self_attn.q_proj.weight", "a CLIP text encoder"),
    ("vision_model.embeddings.patch_embedding.weight", "a CLIP image encoder"),
    ("visual.conv1.weight", "a CLIP image encoder"),
    ("style_embedding", "a style adapter"),
    ("768.0.linear.0.weight", "a hypernetwork"),
    ("emb_params", "a textual inversion embedding"),
)

_LABELS = {2816: "a Stable Diffusion XL checkpoint", 2560: "a Stable Diffusion XL refiner checkpoint"}


def describe_layout(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A phrase for a file's contents: the published layout whose telling key it has, else its main groups of keys."""
    if not shapes:
        return "an empty file"
    label = shapes.get(f"{_UNET}label_emb.0.0.weight")
    if label is not None and len(label) == 2 and label[1] in _LABELS:
        return _LABELS[label[1]]
    for key, phrase in _SIGNS:
        if key in shapes:
            return phrase
    if any(".lora_" in key or key.startswith("lora_") for key in shapes):
        return "a LoRA"
    context = shapes.get(_TEXT_KEY)
    if context is not None and len(context) == 2:
        kind = "a Stable Diffusion 2 checkpoint" if context[1] == 1024 else "a U-Net checkpoint"
        return f"{kind} with context width {context[1]} and {_input_channels(shapes)} input channels"
    groups = Counter(key.split(".")[0] for key in shapes).most_common(3)
    return "a file with " + ", ".join(f"{count} tensors under {name!r}" for name, count in groups)


def _input_channels(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return shapes.get(f"{_UNET}input_blocks.0.0.weight", (0, 0))[1]
