"""Training LoRAs on a model, putting them on, saving them, and drawing how the loss went."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from engine.api import (
    Bool,
    Conditioning,
    Context,
    ExtraPngInfo,
    Int,
    Latent,
    LoraModel,
    LoraSettings,
    LossMap,
    Model,
    ModelFile,
    NodeError,
    Options,
    PromptJson,
    Range,
    imaging,
    node,
)

__all__ = ["load_lora_model", "plot_losses", "save_lora", "train_lora"]

_NO_LORA = "[None]"
_STEPS_IN_NAME = re.compile(r"_(\d+)_steps")
_NUM_PREVIEWS = 40

Strength = Annotated[float, Range(-100.0, 100.0, step=0.01)]


@node(
    "TrainLoraNode",
    title="Train LoRA",
    category="training",
    output_names=("model_with_lora", "lora", "loss", "steps"),
    experimental=True,
    lane="device",
)
def train_lora(
    model: Model,
    latents: Latent,
    positive: Conditioning,
    ctx: Context,
    batch_size: Annotated[int, Range(1, 10000, step=1)] = 1,
    grad_accumulation_steps: Annotated[int, Range(1, 1024, step=1)] = 1,
    steps: Annotated[int, Range(1, 100000)] = 16,
    learning_rate: Annotated[float, Range(0.0000001, 1.0, step=0.000001)] = 0.0005,
    rank: Annotated[int, Range(1, 128)] = 8,
    optimizer: Literal["AdamW", "Adam", "SGD", "RMSprop"] = "AdamW",
    loss_function: Literal["MSE", "L1", "Huber", "SmoothL1"] = "MSE",
    seed: Annotated[int, Range(0, 0xFFFFFFFFFFFFFFFF)] = 0,
    training_dtype: Literal["bf16", "fp32"] = "bf16",
    lora_dtype: Literal["bf16", "fp32"] = "bf16",
    algorithm: Literal["LoRA", "LoHa", "LoKr", "OFT"] = "LoRA",
    gradient_checkpointing: Bool = True,
    existing_lora: Annotated[str, ModelFile("loras", also=(_NO_LORA,))] = _NO_LORA,
) -> tuple[Model, LoraModel, LossMap, Int]:
    """Train a small change of the model on latents and their texts; equal inputs give an equal LoRA.

    One text may serve all pictures. bf16 computes in bfloat16 where the device has it natively and in float32
    elsewhere; the LoRA is trained in float32 and stored as lora_dtype. An existing LoRA is gone on with.
    """
    has_existing = existing_lora != _NO_LORA
    match = _STEPS_IN_NAME.search(existing_lora) if has_existing else None
    losses: list[float] = []

    def on_step(step: int, loss: float) -> None:
        losses.append(loss)
        is_shown = ctx.preview_method != "none" and step % max(1, steps // _NUM_PREVIEWS) == 0
        ctx.progress(step, steps, imaging.draw_losses(losses) if is_shown else None)

    settings = LoraSettings(
        steps=steps,
        batch_size=batch_size,
        accumulation=grad_accumulation_steps,
        learning_rate=learning_rate,
        rank=rank,
        algorithm=algorithm,
        optimizer=optimizer,
        loss=loss_function,
        seed=seed,
        computes_narrow=training_dtype == "bf16",
        stores_narrow=lora_dtype == "bf16",
        uses_checkpointing=gradient_checkpointing,
        first_step=int(match[1]) if match else 0,
    )
    ctx.progress(0, steps)
    path = ctx.model_path("loras", existing_lora) if has_existing else None
    trained = ctx.training.train_lora(model, latents["samples"], positive, settings, on_step, path)
    lora = dict(trained.tensors)
    changed, _ = ctx.models.hold_adapter(lora).apply(model, None)
    return changed, lora, {"loss": list(trained.losses)}, trained.steps


@node("LoraModelLoader", title="Load LoRA Model", category="loaders", experimental=True)
def load_lora_model(model: Model, lora: LoraModel, ctx: Context, strength_model: Strength = 1.0) -> Model:
    """The model with a LoRA that was trained in the same graph on top of those it has."""
    if strength_model == 0:
        return model
    return ctx.models.hold_adapter(lora).apply(model, None, strength_model, 0.0, ctx.warn)[0]


@node("SaveLoRANode", title="Save LoRA Weights", category="loaders", output=True, experimental=True, lane="io")
def save_lora(
    lora: LoraModel,
    ctx: Context,
    prefix: str = "loras/ComfyUI_trained_lora",
    steps: Annotated[int, Options(forceInput=True)] | None = None,
) -> None:
    """Save a LoRA in the form kohya's scripts write; in the `loras` folder of the outputs the LoRA loaders find it."""
    name = prefix if steps is None else f"{prefix}_{steps}_steps"
    ctx.save_file(
        ctx.training.lora_file(lora, steps),
        prefix=name,
        extension="safetensors",
        media_type="application/octet-stream",
        ui_key="loras",
    )


@node("LossGraphNode", title="Plot Loss Graph", category="training", output=True, experimental=True, lane="io")
def plot_losses(
    loss: Annotated[LossMap, Options(default={})],
    ctx: Context,
    filename_prefix: str = "loss_graph",
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Draw the loss of every step, and its running mean, as a PNG."""
    losses = loss.get("loss")
    if not losses:
        raise NodeError(
            "There are no losses to draw.",
            code="no_losses",
            hint="Connect the loss output of a training node.",
            input="loss",
        )
    image = imaging.draw_losses(losses)
    entries = imaging.metadata_entries(prompt, extra_pnginfo) if ctx.metadata_enabled else ()
    ctx.save_file(
        imaging.encode_png(image, entries),
        prefix=filename_prefix,
        extension="png",
        media_type="image/png",
        width_px=image.shape[1],
        height_px=image.shape[0],
    )
