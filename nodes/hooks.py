"""Hooks: changes of weights that count for one conditioning only, and how strongly over the time of sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from engine.api import (
    Bool,
    Clip,
    Context,
    HookKeyframes,
    Hooks,
    ModelFile,
    Options,
    Range,
    Shares,
    Socket,
    diffusion,
    merge_weights,
    node,
)

__all__ = [
    "combine_eight_hooks",
    "combine_four_hooks",
    "combine_two_hooks",
    "hook_checkpoint",
    "hook_checkpoint_model_only",
    "hook_lora",
    "hook_lora_model_only",
    "interpolated_keyframes",
    "keyframe",
    "keyframes_from_numbers",
    "set_clip_hooks",
    "set_keyframes",
]

CATEGORY = "advanced/hooks"
Strength = Annotated[float, Range(-20.0, 20.0, step=0.01)]
Moment = Annotated[float, Range(0.0, 1.0, step=0.001)]
Part = Annotated[float, Range(0.0, 10.0, step=0.001)]
LoraName = Annotated[str, ModelFile("loras")]
CheckpointName = Annotated[str, ModelFile("checkpoints")]

_CURVES: Mapping[str, Any] = MappingProxyType(
    {
        "linear": lambda place: place,
        "ease_in": lambda place: place**2,
        "ease_out": lambda place: 1.0 - (1.0 - place) ** 2,
        "ease_in_out": lambda place: place**2 * (3.0 - 2.0 * place),
    }
)


@dataclass(frozen=True, slots=True)
class _OtherModel:
    """Another checkpoint's weights as a change: at strength 1 they take the place of the model's own."""

    model: Any
    clip: Any

    def apply(self, model: Any, clip: Any, strength_model: float = 1.0, strength_clip: float = 1.0) -> tuple[Any, Any]:
        """Each weight (1 - strength) of its own and the rest of the other's."""
        return _towards(model, self.model, strength_model), _towards(clip, self.clip, strength_clip)


def _towards(own: Any, other: Any, strength: float) -> Any:
    if own is None or other is None or strength == 0:
        return own
    return merge_weights(own, other, lambda name: Shares(1.0 - strength, strength))


@node("CreateHookLora", title="Create Hook LoRA", category=f"{CATEGORY}/create", experimental=True, lane="io")
def hook_lora(
    lora_name: LoraName,
    ctx: Context,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
    prev_hooks: Hooks | None = None,
) -> Hooks:
    """A LoRA for one conditioning, beside hooks made before."""
    change = ctx.models.open_adapter(ctx.model_path("loras", lora_name))
    return (*(prev_hooks or ()), diffusion.WeightHook(change, strength_model, strength_clip))


@node(
    "CreateHookLoraModelOnly",
    title="Create Hook LoRA (MO)",
    category=f"{CATEGORY}/create",
    experimental=True,
    lane="io",
)
def hook_lora_model_only(
    lora_name: LoraName, ctx: Context, strength_model: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """A LoRA for one conditioning; what the file has for text encoders is left aside."""
    return hook_lora(lora_name, ctx, strength_model, 0.0, prev_hooks)


@node(
    "CreateHookModelAsLora",
    title="Create Hook Model as LoRA",
    category=f"{CATEGORY}/create",
    experimental=True,
    lane="io",
)
def hook_checkpoint(
    ckpt_name: CheckpointName,
    ctx: Context,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
    prev_hooks: Hooks | None = None,
) -> Hooks:
    """Another checkpoint for one conditioning: at strength 1 its weights, at 0.5 the mean of both."""
    model, clip, _ = ctx.models.open_checkpoint(ctx.model_path("checkpoints", ckpt_name))
    hook = diffusion.WeightHook(_OtherModel(model, clip), strength_model, strength_clip)
    return (*(prev_hooks or ()), hook)


@node(
    "CreateHookModelAsLoraModelOnly",
    title="Create Hook Model as LoRA (MO)",
    category=f"{CATEGORY}/create",
    experimental=True,
    lane="io",
)
def hook_checkpoint_model_only(
    ckpt_name: CheckpointName, ctx: Context, strength_model: Strength = 1.0, prev_hooks: Hooks | None = None
) -> Hooks:
    """The network of another checkpoint for one conditioning."""
    return hook_checkpoint(ckpt_name, ctx, strength_model, 0.0, prev_hooks)


@node("SetHookKeyframes", title="Set Hook Keyframes", category=f"{CATEGORY}/scheduling", experimental=True)
def set_keyframes(hooks: Hooks, hook_kf: HookKeyframes | None = None) -> Hooks:
    """The hooks on a schedule; without one as they are."""
    return hooks if hook_kf is None else diffusion.with_keyframes(hooks, hook_kf)


@node(
    "CreateHookKeyframe",
    title="Create Hook Keyframe",
    category=f"{CATEGORY}/scheduling",
    experimental=True,
    output_names=("HOOK_KF",),
)
def keyframe(
    strength_mult: Strength = 1.0, start_percent: Moment = 0.0, prev_hook_kf: HookKeyframes | None = None
) -> HookKeyframes:
    """From a part of the trajectory on, strengths are multiplied by this; the earliest keyframe counts before, too."""
    return _scheduled(prev_hook_kf, [(strength_mult, start_percent)])


@node(
    "CreateHookKeyframesInterpolated",
    title="Create Hook Keyframes Interp.",
    category=f"{CATEGORY}/scheduling",
    experimental=True,
    output_names=("HOOK_KF",),
)
def interpolated_keyframes(
    *,
    strength_start: Part = 1.0,
    strength_end: Part = 1.0,
    interpolation: Literal["linear", "ease_in", "ease_out", "ease_in_out"],
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
    keyframes_count: Annotated[int, Range(2, 100, step=1)] = 5,
    print_keyframes: Bool = False,
    prev_hook_kf: HookKeyframes | None = None,
    ctx: Context,
) -> HookKeyframes:
    """Keyframes from one strength to another along a curve, evenly over a part of the trajectory."""
    places = [number / (keyframes_count - 1) for number in range(keyframes_count)]
    curve = _CURVES[interpolation]
    made = [
        (
            strength_start + (strength_end - strength_start) * curve(place),
            start_percent + (end_percent - start_percent) * place,
        )
        for place in places
    ]
    return _scheduled(prev_hook_kf, made, ctx if print_keyframes else None)


@node(
    "CreateHookKeyframesFromFloats",
    title="Create Hook Keyframes From Floats",
    category=f"{CATEGORY}/scheduling",
    experimental=True,
    output_names=("HOOK_KF",),
)
def keyframes_from_numbers(
    ctx: Context,
    floats_strength: Annotated[Any, Socket("FLOATS"), Range(min=-1, step=0.001), Options(forceInput=True)] = -1,
    start_percent: Moment = 0.0,
    end_percent: Moment = 1.0,
    print_keyframes: Bool = False,
    prev_hook_kf: HookKeyframes | None = None,
) -> HookKeyframes:
    """A keyframe for each number of a list, evenly over a part of the trajectory."""
    numbers = [
        float(number) for number in (floats_strength if isinstance(floats_strength, list) else [floats_strength])
    ]
    last = max(1, len(numbers) - 1)
    made = [
        (number, start_percent + (end_percent - start_percent) * place / last) for place, number in enumerate(numbers)
    ]
    return _scheduled(prev_hook_kf, made, ctx if print_keyframes else None)


@node("CombineHooks2", title="Combine Hooks [2]", category=f"{CATEGORY}/combine", experimental=True)
def combine_two_hooks(hooks_A: Hooks | None = None, hooks_B: Hooks | None = None) -> Hooks:
    """The changes of both, one after the other."""
    return _together(hooks_A, hooks_B)


@node("CombineHooks4", title="Combine Hooks [4]", category=f"{CATEGORY}/combine", experimental=True)
def combine_four_hooks(
    hooks_A: Hooks | None = None,
    hooks_B: Hooks | None = None,
    hooks_C: Hooks | None = None,
    hooks_D: Hooks | None = None,
) -> Hooks:
    """The changes of all, one after the other."""
    return _together(hooks_A, hooks_B, hooks_C, hooks_D)


@node("CombineHooks8", title="Combine Hooks [8]", category=f"{CATEGORY}/combine", experimental=True)
def combine_eight_hooks(
    hooks_A: Hooks | None = None,
    hooks_B: Hooks | None = None,
    hooks_C: Hooks | None = None,
    hooks_D: Hooks | None = None,
    hooks_E: Hooks | None = None,
    hooks_F: Hooks | None = None,
    hooks_G: Hooks | None = None,
    hooks_H: Hooks | None = None,
) -> Hooks:
    """The changes of all, one after the other."""
    return _together(hooks_A, hooks_B, hooks_C, hooks_D, hooks_E, hooks_F, hooks_G, hooks_H)


@node("SetClipHooks", title="Set CLIP Hooks", category=f"{CATEGORY}/clip", experimental=True)
def set_clip_hooks(
    clip: Clip,
    ctx: Context,
    apply_to_conds: Bool = True,
    schedule_clip: Bool = False,
    hooks: Hooks | None = None,
) -> Clip:
    """A text encoder changed by hooks.

    apply_to_conds: what it encodes changes the network as well. schedule_clip: a text is encoded once for each strength
    the keyframes give, for its part of the trajectory.
    """
    if not hooks:
        return clip
    return ctx.models.hooked_text_encoder(clip, hooks, marks=apply_to_conds, is_scheduled=schedule_clip)


def _together(*groups: Any) -> Any:
    return tuple(hook for group in groups for hook in group or ())


def _scheduled(before: Any, made: list[tuple[float, float]], listener: Context | None = None) -> Any:
    """The keyframes made before with these, by their start; of two of one start the later one counts."""
    frames = {frame.start_fraction: frame for frame in before or ()}
    frames |= {start: diffusion.Keyframe(strength, start) for strength, start in made}
    ordered = tuple(frames[start] for start in sorted(frames))
    if listener is not None:
        listener.text("\n".join(f"{frame.start_fraction:.3f}: {frame.strength:.3f}" for frame in ordered))
    return ordered
