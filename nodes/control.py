"""Steering a model by pictures: ControlNets and T2I-Adapters, and which conditioning they apply to."""

from __future__ import annotations

from typing import Annotated, Any

from engine.api import (
    Choice,
    Clip,
    Conditioning,
    Context,
    ControlNet,
    Image,
    Model,
    ModelFile,
    NodeError,
    Range,
    Text,
    Vae,
    diffusion,
    node,
)

__all__ = [
    "apply_control",
    "apply_control_to_both",
    "apply_control_with_vae",
    "encode_text_for_controls",
    "load_control",
    "load_control_on_model",
    "set_control_kind",
]

_KINDS = {
    "auto": None,
    "openpose": 0,
    "depth": 1,
    "hed/pidi/scribble/ted": 2,
    "canny/lineart/anime_lineart/mlsd": 3,
    "normal": 4,
    "segment": 5,
    "tile": 6,
    "repaint": 7,
}
"""Number of each kind of picture in union ControlNets."""

ControlFile = Annotated[str, ModelFile("controlnet")]
Strength = Annotated[float, Range(0.0, 10.0, step=0.01)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]


@node("ControlNetLoader", title="Load ControlNet Model", category="loaders", lane="io")
def load_control(control_net_name: ControlFile, ctx: Context) -> ControlNet:
    """A ControlNet, control-LoRA, union ControlNet or T2I-Adapter.

    One whose file holds only differences to a base model takes the model that is sampled as its base.
    """
    return ctx.models.open_control(ctx.model_path("controlnet", control_net_name))


@node("DiffControlNetLoader", title="Load ControlNet Model (diff)", category="loaders", lane="io")
def load_control_on_model(model: Model, control_net_name: ControlFile, ctx: Context) -> ControlNet:
    """A ControlNet whose file holds only differences to a base model, on this model; others as they are."""
    control = ctx.models.open_control(ctx.model_path("controlnet", control_net_name))
    return control.on_base(model)


@node("ControlNetApply", title="Apply ControlNet (OLD)", category="conditioning/controlnet", deprecated=True)
def apply_control(
    conditioning: Conditioning, control_net: ControlNet, image: Image, strength: Strength = 1.0
) -> Conditioning:
    """Show a picture to a control network whenever this conditioning is used, on the negative side as well.

    The negative side is left alone when it has controls of its own. Strength 0 changes nothing.
    """
    return _with_control(conditioning, control_net, image, strength, 0.0, 1.0, is_shared=True)


@node(
    "ControlNetApplyAdvanced",
    title="Apply ControlNet",
    category="conditioning/controlnet",
    output_names=("positive", "negative"),
)
def apply_control_to_both(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
    vae: Vae | None = None,
) -> tuple[Conditioning, Conditioning]:
    """Show a picture to a control network during a part of sampling: 0 is pure noise, 1 the finished picture.

    Controls add up with those the conditioning has. No network that is loaded here sees latents, so `vae` is not used.
    """
    given = (control_net, image, strength, start_percent, end_percent)
    return _with_control(positive, *given), _with_control(negative, *given)


@node(
    "ControlNetApplySD3",
    title="Apply Controlnet with VAE",
    category="conditioning/controlnet",
    output_names=("positive", "negative"),
    deprecated=True,
    schema_form=True,
)
def apply_control_with_vae(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
) -> tuple[Conditioning, Conditioning]:
    """As Apply ControlNet."""
    return apply_control_to_both(positive, negative, control_net, image, strength, start_percent, end_percent, vae)


@node(
    "CLIPTextEncodeControlnet", category="_for_testing/conditioning", experimental=True, schema_form=True, lane="device"
)
def encode_text_for_controls(
    clip: Clip,
    conditioning: Conditioning,
    text: Annotated[str, Text(multiline=True, dynamic_prompts=True)],
    ctx: Context,
) -> Conditioning:
    """Another text for the control networks of this conditioning; the model itself keeps its own."""
    if clip is None:
        raise NodeError("The clip input is empty.", input="clip", hint="Connect the CLIP of a checkpoint.")
    encoding = clip.encode(text, warn=ctx.warn)
    own = {"cross_attn_controlnet": encoding.context, "pooled_output_controlnet": encoding.pooled}
    return [[tokens, {**options, **own}] for tokens, options in conditioning]


@node("SetUnionControlNetType", category="conditioning/controlnet")
def set_control_kind(control_net: ControlNet, type: Annotated[str, Choice(tuple(_KINDS))]) -> ControlNet:
    """Tell a union ControlNet what kind of picture it is shown; other networks stay as they are."""
    return _given(control_net).with_kind(_KINDS[type])


def _with_control(
    conditioning: list[Any],
    control: Any,
    image: Any,
    strength: float,
    start: float,
    end: float,
    *,
    is_shared: bool = False,
) -> list[Any]:
    if strength == 0:
        return conditioning
    use = diffusion.ControlUse(_given(control), image, strength, start, end)
    added = []
    for tokens, options in conditioning:
        before = tuple(options.get("control") or ())
        added.append([tokens, {**options, "control": (*before, use), "control_apply_to_uncond": is_shared}])
    return added


def _given(control: Any) -> Any:
    if control is None:
        raise NodeError(
            "There is no control network.", input="control_net", hint="Connect a Load ControlNet Model node."
        )
    return control
