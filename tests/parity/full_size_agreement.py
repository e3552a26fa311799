"""How far the parts of a full-size file are from diffusers, open_clip and transformers on the same weights.

Both sides compute in float32 on small latents, one after the other, so that memory holds one network at a time: ours
within a budget, theirs with the weights of the layer alone that is running.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from open_clip.transformer import TextTransformer as OpenClipText
from torch import nn

from engine.families.text.clip_pair import ClipPair
from engine.families.unet.diffusers_form import published_names
from engine.weights.checkpoint import Checkpoint, open_checkpoint
from tests.parity.diffusers_names import vae_name
from tests.tiny_sd1 import host_with, store_on

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

__all__ = ["FULL_SIZE", "autoencoder_error", "network_error", "text_error"]

BUDGET_BYTES = 4 << 30
TEXT = "a lighthouse on a cliff, oil painting"

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
SD1 = {"cross_attention_dim": 768, "use_linear_projection": False}
SD2 = {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20]}
XL = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
XL_BASE = {
    **XL, "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280],
    "down_block_types": [PLAIN, CROSS, CROSS], "transformer_layers_per_block": [1, 2, 10],
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
FULL_SIZE: Mapping[str, dict[str, Any]] = {
    "sd14-full-ema": SD1,
    "sd15": SD1,
    "sd15-inpainting": {**SD1, "in_channels": 9},
    "instruct-pix2pix": {**SD1, "in_channels": 8},
    "sd21-768-v": SD2,
    "sd2-inpainting": {**SD2, "in_channels": 9},
    "sd-turbo": SD2,
    "sd21-unclip-h": {**SD2, "class_embed_type": "projection", "projection_class_embeddings_input_dim": 2048},
    "sdxl-base-1.0": XL_BASE,
    "sdxl-turbo": XL_BASE,
    "sdxl-inpainting": {**XL_BASE, "in_channels": 9},
    "sdxl-refiner-1.0": {
        **XL, "cross_attention_dim": 1280, "attention_head_dim": [6, 12, 24, 24],
        "block_out_channels": [384, 768, 1536, 1536], "down_block_types": [PLAIN, CROSS, CROSS, PLAIN],
        "transformer_layers_per_block": 4, "projection_class_embeddings_input_dim": 2560,
    },
}  # fmt: skip
"""Layout → diffusers' settings of its network."""

_OPEN_CLIP = {"sd2": (1024, 24), "sd2_unclip": (1024, 24), "sdxl": (1280, 32), "sdxl_refiner": (1280, 32)}
"""Family → width and depth of its OpenCLIP encoder."""
_OPEN_CLIP_PREFIXES = ("conditioner.embedders.1.model.", "conditioner.embedders.0.model.", "cond_stage_model.model.")
_CLIP_L = {"sd1": "cond_stage_model.transformer.text_model.", "sdxl": "conditioner.embedders.0.transformer.text_model."}


def network_error(name: str, path: Path) -> float:
    """Of one forward of the U-Net."""
    torch.manual_seed(0)
    settings = FULL_SIZE[name]
    x, steps = torch.randn(1, settings.get("in_channels", 4), 16, 16), torch.tensor([500.0])
    context = torch.randn(1, 77, settings["cross_attention_dim"])
    vector, given = _vector(settings)
    model = store_on(host_with(BUDGET_BYTES)).open_checkpoint(path)[0]
    found = model.host.run(model.source, lambda module: module(x, steps, context, vector))
    model.host.free()
    with open_checkpoint(path) as checkpoint:
        wanted = _their_network(settings, checkpoint)(x, steps, context, **given).sample
    return _error(found, wanted)


def text_error(name: str, path: Path) -> float:
    """Of what a text becomes; the largest of all encoders and outputs."""
    model, clip, _ = store_on(host_with(BUDGET_BYTES)).open_checkpoint(path)
    encoding = clip.encode(TEXT)
    errors = []
    with open_checkpoint(path) as checkpoint:
        if model.family in _CLIP_L:
            tokens = _tokens(clip, "l")
            hidden = _clip_l(checkpoint, _CLIP_L[model.family])(tokens, output_hidden_states=True)
            wanted = hidden.last_hidden_state if model.family == "sd1" else hidden.hidden_states[-2]
            errors.append(_error(encoding.context[..., :768], wanted))
        if model.family in _OPEN_CLIP:
            encoder = clip.second if isinstance(clip, ClipPair) else clip
            context, pooled = _open_clip(checkpoint, *_OPEN_CLIP[model.family], _tokens(encoder, encoder.key))
            found = encoder.encode(TEXT)
            errors += [_error(found.context, context), _error(found.pooled, pooled)]
    return max(errors)


def autoencoder_error(name: str, path: Path) -> float:
    """Of encoding and decoding; the larger one."""
    torch.manual_seed(0)
    pixels, latent = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(1, 4, 8, 8)
    vae = store_on(host_with(BUDGET_BYTES)).open_checkpoint(path)[2]
    encoded = vae.host.run(vae.source, lambda module: module.encode(pixels))
    decoded = vae.host.run(vae.source, lambda module: module.decode(latent))
    with open_checkpoint(path) as checkpoint:
        with torch.device("meta"):
            theirs = AutoencoderKL(
                down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
                block_out_channels=[128, 256, 512, 512], layers_per_block=2,
            )  # fmt: skip
        _fill(theirs, checkpoint, {key: f"first_stage_model.{vae_name(key, 4)}" for key in theirs.state_dict()})
    errors = (encoded, theirs.encode(pixels).latent_dist.parameters), (decoded, theirs.decode(latent).sample)
    return max(_error(found, wanted) for found, wanted in errors)


def _error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def _fill(network: nn.Module, checkpoint: Checkpoint, keys: Mapping[str, str]) -> nn.Module:
    """A network built without storage with float32 copies of a file's tensors: name → key."""
    shapes = {name: weight.shape for name, weight in network.state_dict().items()}
    weights = {name: checkpoint.tensor(key).float().reshape(shapes[name]) for name, key in keys.items()}
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def _vector(settings: Mapping[str, Any]) -> tuple[torch.Tensor | None, dict[str, Any]]:
    """The vector of networks that take one, and the same as diffusers is given it."""
    width = settings.get("projection_class_embeddings_input_dim")
    if width is None:
        return None, {}
    if "class_embed_type" in settings:
        vector = torch.randn(1, width)
        return vector, {"class_labels": vector}
    text, times = torch.randn(1, 1280), torch.rand(1, (width - 1280) // 256) * 1000
    embedded = UNet2DConditionModel(sample_size=8, **_TINY, **XL, projection_class_embeddings_input_dim=width)
    vector = torch.cat([text, embedded.add_time_proj(times.flatten()).view(1, -1)], dim=1)
    return vector, {"added_cond_kwargs": {"text_embeds": text, "time_ids": times}}


_TINY = {
    "block_out_channels": [32], "down_block_types": [PLAIN], "up_block_types": ["UpBlock2D"], "cross_attention_dim": 8
}  # fmt: skip


def _their_network(settings: Mapping[str, Any], checkpoint: Checkpoint) -> UNet2DConditionModel:
    kinds = settings.get("down_block_types", [CROSS, CROSS, CROSS, PLAIN])
    more = {"use_linear_projection": True, **settings}
    more["up_block_types"] = [kind.replace("Down", "Up") for kind in reversed(kinds)]
    with torch.device("meta"):
        network = UNet2DConditionModel(sample_size=64, **more)
    shapes = {key: tuple(weight.shape) for key, weight in network.state_dict().items()}
    published = published_names({key.replace("class_embedding", "add_embedding"): size for key, size in shapes.items()})
    names = {key.replace("class_embedding", "add_embedding"): key for key in shapes}
    keys = {names[theirs]: f"model.diffusion_model.{ours}" for ours, theirs in published.items()}
    stored = {name: checkpoint.tensor(key).reshape(network.get_parameter(name).shape) for name, key in keys.items()}
    network.load_state_dict(stored, assign=True)
    for part in network.modules():
        if list(part.parameters(recurse=False)):
            _widen_while_it_runs(part)
    return network.eval().requires_grad_(False)


def _widen_while_it_runs(part: nn.Module) -> None:
    """Let a layer compute in float32, and hold the file's own weights again after it ran."""
    stored = dict(part.named_parameters(recurse=False))

    def widen(*_: object) -> None:
        for name, weight in stored.items():
            setattr(part, name, nn.Parameter(weight.float(), requires_grad=False))

    def narrow(*_: object) -> None:
        for name, weight in stored.items():
            setattr(part, name, weight)

    part.register_forward_pre_hook(widen)
    part.register_forward_hook(narrow)


def _tokens(clip: Any, key: str) -> torch.Tensor:
    return torch.tensor([[token for token, _ in clip.tokenize(TEXT)[key][0]]])


def _clip_l(checkpoint: Checkpoint, prefix: str) -> CLIPTextModel:
    config = CLIPTextConfig(hidden_act="quick_gelu", hidden_size=768, intermediate_size=3072,
                            num_hidden_layers=12, num_attention_heads=12)  # fmt: skip
    theirs = CLIPTextModel(config)
    names = [name for name in theirs.state_dict() if not name.endswith("position_ids")]
    return _fill(theirs, checkpoint, {name: prefix + name.removeprefix("text_model.") for name in names})


def _open_clip(
    checkpoint: Checkpoint, width: int, layers: int, tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Context, one layer before the last, and pooled vector."""
    prefix = next(prefix for prefix in _OPEN_CLIP_PREFIXES if f"{prefix}text_projection" in checkpoint.shapes)
    theirs = OpenClipText(width=width, heads=width // 64, layers=layers, output_dim=width)
    _fill(theirs, checkpoint, {key: prefix + key for key in theirs.state_dict() if key != "attn_mask"})
    x = theirs.token_embedding(tokens) + theirs.positional_embedding
    for block in theirs.transformer.resblocks[:-1]:
        x = block(x, attn_mask=theirs.attn_mask)
    return theirs.ln_final(x) if width == 1024 else x, theirs(tokens)
