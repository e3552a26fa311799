"""Latents in files: safetensors with the tensor `latent_tensor`."""

from __future__ import annotations

from typing import Annotated

import safetensors
import torch
from safetensors.torch import load, save

from engine.api import Context, ExtraPngInfo, InputFile, Latent, NodeError, PromptJson, imaging, node

__all__ = ["load_latent", "save_latent"]

_VERSION_KEY = "latent_format_version_0"
_OLD_SCALE = 1.0 / 0.18215
"""Files without the version key hold latents multiplied by the SD1 scale factor."""


@node("SaveLatent", title="SaveLatent", category="_for_testing", output=True, lane="io")
def save_latent(
    samples: Latent,
    ctx: Context,
    filename_prefix: str = "latents/ComfyUI",
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save the latent tensor with the prompt and the workflow; mask and numbering are not kept."""
    entries = imaging.metadata_entries(prompt, extra_pnginfo) if ctx.metadata_enabled else ()
    tensors = {"latent_tensor": samples["samples"].detach().cpu().contiguous(), _VERSION_KEY: torch.tensor([])}
    ctx.save_file(
        save(tensors, metadata=dict(entries) or None),
        prefix=filename_prefix,
        extension="latent",
        media_type="application/octet-stream",
        ui_key="latents",
    )


@node("LoadLatent", title="LoadLatent", category="_for_testing", lane="io")
def load_latent(latent: Annotated[str, InputFile("*.latent", upload=False)], ctx: Context) -> Latent:
    """A latent saved by SaveLatent, as float32."""
    try:
        tensors = load(ctx.input_path(latent).read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise NodeError(
            f"{latent} is not a latent file: {error}",
            code="bad_latent",
            hint="Choose a file written by SaveLatent.",
            input="latent",
        ) from error
    if "latent_tensor" not in tensors:
        raise NodeError(
            f"{latent} holds no latent_tensor but {', '.join(sorted(tensors)[:5]) or 'nothing'}.",
            code="bad_latent",
            hint="Choose a file written by SaveLatent.",
            input="latent",
        )
    scale = 1.0 if _VERSION_KEY in tensors else _OLD_SCALE
    return {"samples": tensors["latent_tensor"].float() * scale}
