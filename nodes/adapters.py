"""Putting LoRA files and their kin on models."""

from __future__ import annotations

from typing import Annotated

from engine.api import Clip, Context, Model, ModelFile, Range, node

__all__ = ["load_lora", "load_lora_model_only"]

Strength = Annotated[float, Range(-100.0, 100.0, step=0.01)]
LoraName = Annotated[str, ModelFile("loras")]


@node("LoraLoader", title="Load LoRA", category="loaders", lane="io")
def load_lora(
    model: Model,
    clip: Clip,
    lora_name: LoraName,
    ctx: Context,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
) -> tuple[Model, Clip]:
    """The model and its text encoder with an adapter file (LoRA, LoHa, LoKr, DoRA, OFT …) on top of those they have.

    A strength of 0 changes nothing, a negative one turns the change round. The checkpoint itself stays as it is.
    """
    if strength_model == 0 and strength_clip == 0:
        return model, clip
    adapter = ctx.models.open_adapter(ctx.model_path("loras", lora_name))
    return adapter.apply(model, clip, strength_model, strength_clip, ctx.warn)


@node("LoraLoaderModelOnly", category="loaders", lane="io")
def load_lora_model_only(model: Model, lora_name: LoraName, ctx: Context, strength_model: Strength = 1.0) -> Model:
    """The model with an adapter file on top of those it has; what the file has for text encoders is left aside."""
    if strength_model == 0:
        return model
    adapter = ctx.models.open_adapter(ctx.model_path("loras", lora_name))
    return adapter.apply(model, None, strength_model, 0.0, ctx.warn)[0]
