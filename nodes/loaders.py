"""Opening weight files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from engine.api import Clip, Context, Model, ModelFile, NodeError, Vae, node

__all__ = ["load_checkpoint", "load_vae"]

_TINY_AUTOENCODERS = ("taesd", "taesdxl", "taesd3", "taef1")
_PIXEL_SPACE = "pixel_space"
_SUFFIXES = (".safetensors", ".pth")


@node("CheckpointLoaderSimple", title="Load Checkpoint", category="loaders", lane="io")
def load_checkpoint(ckpt_name: Annotated[str, ModelFile("checkpoints")], ctx: Context) -> tuple[Model, Clip, Vae]:
    """The diffusion network, text encoder and autoencoder of a checkpoint file. A part the file lacks is empty."""
    return ctx.models.open_checkpoint(ctx.model_path("checkpoints", ckpt_name))


@node("VAELoader", title="Load VAE", category="loaders", lane="io")
def load_vae(vae_name: Annotated[str, ModelFile("vae", also=(*_TINY_AUTOENCODERS, _PIXEL_SPACE))], ctx: Context) -> Vae:
    """An autoencoder from a file of its own, or a tiny one from its encoder and decoder in `vae_approx`.

    `pixel_space` is for models that denoise pixels: its latents are the pictures, from -1 to 1 in three channels.
    """
    if vae_name == _PIXEL_SPACE:
        return ctx.models.pixel_space_vae()
    if vae_name in _TINY_AUTOENCODERS:
        return ctx.models.open_taesd(_tiny_part(ctx, vae_name, "encoder"), _tiny_part(ctx, vae_name, "decoder"))
    return ctx.models.open_vae(ctx.model_path("vae", vae_name))


def _tiny_part(ctx: Context, name: str, part: str) -> Path:
    for suffix in _SUFFIXES[:-1]:
        try:
            return ctx.model_path("vae_approx", f"{name}_{part}{suffix}")
        except NodeError:
            continue
    return ctx.model_path("vae_approx", f"{name}_{part}{_SUFFIXES[-1]}")
