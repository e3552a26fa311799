"""Saving models: checkpoints, and their parts in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from engine.api import (
    Bool,
    Clip,
    Context,
    ExtraPngInfo,
    Model,
    Options,
    PromptJson,
    Range,
    Vae,
    imaging,
    node,
)

__all__ = ["save_checkpoint", "save_clip", "save_extracted_lora", "save_model", "save_vae"]

CATEGORY = "advanced/model_merging"


@node("CheckpointSave", title="Save Checkpoint", category=CATEGORY, output=True, lane="io")
def save_checkpoint(
    model: Model,
    clip: Clip,
    vae: Vae,
    ctx: Context,
    filename_prefix: str = "checkpoints/ComfyUI",
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save model, text encoder and autoencoder with all their merges and adapters as one checkpoint.

    In the `checkpoints` folder of the outputs the loaders find it.
    """
    entries = _entries(ctx, prompt, extra_pnginfo)
    title = _title(filename_prefix)
    file = ctx.models.checkpoint_file(model, clip, vae, title=title, metadata=entries, warn=ctx.warn)
    _save(ctx, file, filename_prefix, "checkpoints")


@node("ModelSave", category=CATEGORY, output=True, lane="io")
def save_model(
    model: Model,
    ctx: Context,
    filename_prefix: str = "diffusion_models/ComfyUI",
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save the diffusion network with all its merges and adapters."""
    entries = _entries(ctx, prompt, extra_pnginfo)
    file = ctx.models.checkpoint_file(model, title=_title(filename_prefix), metadata=entries, warn=ctx.warn)
    _save(ctx, file, filename_prefix, "diffusion_models")


@node("CLIPSave", category=CATEGORY, output=True, lane="io")
def save_clip(
    clip: Clip,
    ctx: Context,
    filename_prefix: str = "clip/ComfyUI",
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save each text encoder in a file of its own, named after its kind (`_clip_l`, `_clip_g` …)."""
    files = ctx.models.text_encoder_files(clip, _entries(ctx, prompt, extra_pnginfo))
    for name, file in files.items():
        _save(ctx, file, f"{filename_prefix}_{name}", "clip")


@node("VAESave", category=CATEGORY, output=True, lane="io")
def save_vae(
    vae: Vae,
    ctx: Context,
    filename_prefix: str = "vae/ComfyUI_vae",
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save the autoencoder."""
    _save(ctx, ctx.models.vae_file(vae, _entries(ctx, prompt, extra_pnginfo)), filename_prefix, "vae")


@node(
    "LoraSave",
    title="Extract and Save Lora",
    category="_for_testing",
    output=True,
    experimental=True,
    schema_form=True,
    lane="io",
)
def save_extracted_lora(
    *,
    filename_prefix: Annotated[str, Options(multiline=False)] = "loras/ComfyUI_extracted_lora",
    rank: Annotated[int, Range(1, 4096, step=1)] = 8,
    lora_type: Literal["standard", "full_diff"],
    bias_diff: Bool = True,
    model_diff: Model | None = None,
    text_encoder_diff: Clip | None = None,
    ctx: Context,
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save a difference of two models, made by ModelMergeSubtract and CLIPMergeSubtract, as a LoRA.

    "standard" keeps the `rank` strongest directions of each matrix, "full_diff" everything; `bias_diff` keeps biases
    and norms as well.
    """
    file = ctx.models.extracted_adapter_file(
        model_diff,
        text_encoder_diff,
        rank=rank,
        kind=lora_type,
        biases=bias_diff,
        metadata=_entries(ctx, prompt, extra_pnginfo),
    )
    _save(ctx, file, filename_prefix, "loras")


def _entries(ctx: Context, prompt: Any, extra: Any) -> dict[str, str]:
    return dict(imaging.metadata_entries(prompt, extra)) if ctx.metadata_enabled else {}


def _title(prefix: str) -> str:
    return prefix.replace("\\", "/").rpartition("/")[2]


def _save(ctx: Context, file: Any, prefix: str, ui_key: str) -> None:
    def write(path: Path) -> None:
        file.write(path, ctx.progress)

    ctx.save_file(write, prefix=prefix, extension="safetensors", media_type="application/octet-stream", ui_key=ui_key)
