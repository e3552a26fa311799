"""Hooks: adapters that count for one conditioning, on a schedule, and conditioning for the places that are left."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.diffusion.conditioning import parse_conditioning, to_pairs
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.hooks import Keyframe, WeightHook, with_keyframes
from engine.diffusion.requests import DenoiseRequest, answer, drive
from nodes.conditioning import set_area, set_mask
from nodes.hook_conditioning import (
    combine_pairs,
    combine_with_default,
    combine_with_default_pair,
    combine_with_properties,
    combine_with_properties_pair,
    set_properties,
    set_properties_pair,
    time_ranges,
)
from nodes.hooks import (
    combine_eight_hooks,
    combine_four_hooks,
    combine_two_hooks,
    hook_checkpoint,
    hook_checkpoint_model_only,
    hook_lora,
    hook_lora_model_only,
    interpolated_keyframes,
    keyframe,
    keyframes_from_numbers,
    set_clip_hooks,
    set_keyframes,
)
from nodes.text import encode_text, set_last_layer
from tests.families.test_merging import second_file
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)

X = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
SIGMA = 3.0
MODULES = {
    "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q": (32, 32),
    "lora_te_text_model_encoder_layers_0_mlp_fc1": (64, 32),
}


class Loading:
    """What the nodes ask of the engine: a store, files of one folder, a place for texts."""

    def __init__(self, folder: Path) -> None:
        self.models = store_on(host_with())
        self.texts: list[str] = []
        self._folder = folder

    def model_path(self, folder: str, name: str) -> Path:
        return self._folder / name

    def text(self, text: str) -> None:
        self.texts.append(text)

    def warn(self, message: str) -> None:
        raise AssertionError(message)


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Loading:
    folder = tmp_path_factory.mktemp("hooks")
    shallow_checkpoint(folder)
    second_file(folder)
    generator = torch.Generator().manual_seed(0)
    for name, modules in (("both", list(MODULES)), ("network", list(MODULES)[:1])):
        tensors = {}
        for module in modules:
            rows, columns = MODULES[module]
            tensors[f"{module}.lora_up.weight"] = torch.randn(rows, 2, generator=generator)
            tensors[f"{module}.lora_down.weight"] = torch.randn(2, columns, generator=generator)
        save_file(tensors, folder / f"{name}.safetensors")
    return Loading(folder)


@pytest.fixture(scope="module")
def parts(ctx: Loading) -> tuple[Any, Any]:
    return ctx.models.open_checkpoint(ctx.model_path("checkpoints", "shallow.safetensors"))[:2]


def text(parts: tuple[Any, Any], words: str = "a fox") -> list[Any]:
    return encode_text(words, parts[1], SimpleNamespace(warn=pytest.fail))


def requests(model: Any, conditioning: list[Any], sigma: float = SIGMA) -> tuple[DenoiseRequest, ...]:
    return next(Basic(model, parse_conditioning(conditioning)).bind(X, None)(X, sigma)).requests


def prediction(model: Any, conditioning: list[Any], sigma: float = SIGMA) -> torch.Tensor:
    return drive(Basic(model, parse_conditioning(conditioning)).bind(X, None)(X, sigma)).denoised


def hooked(conditioning: list[Any], hooks: Any, **options: Any) -> list[Any]:
    return set_properties(cond_NEW=conditioning, set_cond_area="default", hooks=hooks, **options)


def test_a_hooked_lora_is_the_lora_for_its_conditioning_alone(ctx: Loading, parts: tuple[Any, Any]) -> None:
    model, words = parts[0], text(parts)
    hooks = hook_lora("both.safetensors", ctx, 0.7, 0.0)
    with_lora = hooks[0].change.apply(model, None, 0.7, 0.0)[0]
    wanted = prediction(with_lora, words)
    assert torch.allclose(prediction(model, hooked(words, hooks)), wanted, atol=1e-5)
    assert not torch.allclose(prediction(model, words), wanted, atol=1e-3)
    guide = Cfg(model, parse_conditioning(hooked(words, hooks)), parse_conditioning(words), 3.0).bind(X, None)
    asked = next(guide(X, SIGMA)).requests
    assert [request.denoiser.identity for request in asked] == [with_lora.identity, model.identity]
    assert hook_lora_model_only("both.safetensors", ctx, 0.7)[0].strength_clip == 0.0


def test_a_strength_follows_its_keyframes(ctx: Loading, parts: tuple[Any, Any]) -> None:
    model, words = parts[0], text(parts)
    hooks = hook_lora_model_only("network.safetensors", ctx, 0.8)
    frames = keyframe(0.25, 0.4, keyframe(1.0, 0.0))
    table = model.parameterization.sigma_table
    conditioning = hooked(words, set_keyframes(hooks, keyframe(0.0, 0.8, frames)))
    for fraction, strength in ((0.0, 0.8), (0.39, 0.8), (0.41, 0.2), (0.9, 0.0)):
        (request,) = requests(model, conditioning, table.sigma_at_fraction(fraction))
        wanted = hooks[0].change.apply(model, None, strength, 0.0)[0] if strength else model
        assert request.denoiser.identity == wanted.identity
    assert set_keyframes(hooks) is hooks
    late = WeightHook(hooks[0].change, keyframes=(Keyframe(0.5, 0.3), Keyframe(0.9, 0.6)))
    assert [late.factor_at(place) for place in (0.0, 0.3, 0.59, 1.0)] == [0.5, 0.5, 0.5, 0.9]


def test_keyframes_are_made_along_curves_and_from_numbers(ctx: Loading) -> None:
    def made(**options: Any) -> list[tuple[float, float]]:
        frames = interpolated_keyframes(keyframes_count=3, ctx=ctx, **options)
        return [(frame.start_fraction, round(frame.strength, 6)) for frame in frames]

    assert made(strength_start=0.0, strength_end=2.0, interpolation="linear") == [(0.0, 0.0), (0.5, 1.0), (1.0, 2.0)]
    assert made(strength_start=0.0, interpolation="ease_in", start_percent=0.5) == [(0.5, 0), (0.75, 0.25), (1, 1)]
    assert made(strength_start=0.0, interpolation="ease_out")[1] == (0.5, 0.75)
    assert made(strength_start=1.0, strength_end=0.0, interpolation="ease_in_out")[1] == (0.5, 0.5)
    frames = keyframes_from_numbers(ctx, [1, 0.5, 0], 0.0, 0.5, True, prev_hook_kf=keyframe(2.0, 0.9))
    found = [(frame.start_fraction, frame.strength) for frame in frames]
    assert found == [(0.0, 1.0), (0.25, 0.5), (0.5, 0.0), (0.9, 2.0)]
    assert ctx.texts[-1].splitlines()[1] == "0.250: 0.500"
    assert keyframes_from_numbers(ctx, 0.5)[0] == Keyframe(0.5, 0.0)


def test_hooks_add_up_in_any_grouping(ctx: Loading, parts: tuple[Any, Any]) -> None:
    model, words = parts[0], text(parts)
    one, two = (hook_lora_model_only("network.safetensors", ctx, strength) for strength in (0.3, 0.5))
    chained = hook_lora_model_only("network.safetensors", ctx, 0.5, one)
    wanted = prediction(model, hooked(words, hook_lora_model_only("network.safetensors", ctx, 0.8)))
    for hooks in (
        combine_two_hooks(one, two), combine_four_hooks(hooks_B=one, hooks_D=two),
        combine_eight_hooks(hooks_C=one, hooks_H=two), chained,
    ):  # fmt: skip
        assert torch.allclose(prediction(model, hooked(words, hooks)), wanted, atol=1e-4)
    assert torch.allclose(prediction(model, hooked(hooked(words, one), two)), wanted, atol=1e-4)


def test_a_checkpoint_as_a_hook_takes_the_model_s_place_by_its_strength(ctx: Loading, parts: tuple[Any, Any]) -> None:
    model, words = parts[0], text(parts)
    other = ctx.models.open_checkpoint(ctx.model_path("checkpoints", "second.safetensors"))[0]
    whole = hooked(words, hook_checkpoint_model_only("second.safetensors", ctx))
    assert torch.allclose(prediction(model, whole), prediction(other, words), atol=1e-4)
    half = requests(model, hooked(words, hook_checkpoint("second.safetensors", ctx, 0.5)))[0].denoiser
    name = "out.2.weight"
    assert torch.allclose(half.weights.read(name), (model.weights.read(name) + other.weights.read(name)) / 2)


def test_a_hooked_text_encoder_encodes_with_the_lora_and_marks_its_conditioning(
    ctx: Loading, parts: tuple[Any, Any]
) -> None:
    model, clip = parts
    hooks = hook_lora("both.safetensors", ctx, 0.7, 0.4)
    wanted = hooks[0].change.apply(None, clip, 0.0, 0.4)[1].encode("a fox")
    changed = set_clip_hooks(clip, ctx, hooks=hooks)
    ((tokens, options),) = text((model, changed))
    assert torch.equal(tokens, wanted.context)
    assert options["hooks"] == hooks
    assert "hooks" not in text((model, set_clip_hooks(clip, ctx, apply_to_conds=False, hooks=hooks)))[0][1]
    assert set_clip_hooks(clip, ctx) is clip
    assert changed.identity != clip.identity
    shallow = set_last_layer(changed, -2)
    assert shallow.last_layer == -2
    earlier = hooks[0].change.apply(None, clip.with_last_layer(-2), 0.0, 0.4)[1]
    assert torch.equal(text((model, shallow))[0][0], earlier.encode("a fox").context)
    # A LoRA without anything for the encoder leaves it as it is.
    plain = set_clip_hooks(clip, ctx, hooks=hook_lora("network.safetensors", ctx))
    assert torch.equal(text((model, plain))[0][0], text(parts)[0][0])


def test_a_scheduled_text_encoder_encodes_once_for_each_strength(ctx: Loading, parts: tuple[Any, Any]) -> None:
    model, clip = parts
    hooks = with_keyframes(hook_lora("both.safetensors", ctx, 0.0, 1.0), [Keyframe(1.0, 0.0), Keyframe(0.5, 0.6)])
    entries = text((model, set_clip_hooks(clip, ctx, schedule_clip=True, hooks=hooks)))
    assert [(o["start_percent"], o["end_percent"]) for _, o in entries] == [(0.0, 0.6), (0.6, 1.0)]
    for (tokens, _), strength in zip(entries, (1.0, 0.5), strict=True):
        assert torch.equal(tokens, hooks[0].change.apply(None, clip, 0.0, strength)[1].encode("a fox").context)
    assert len(text((model, set_clip_hooks(clip, ctx, hooks=hooks)))) == 1


def test_properties_say_where_when_and_how_strongly(parts: tuple[Any, Any]) -> None:
    words, other = text(parts), text(parts, "a lake")
    before, after = time_ranges(0.2, 0.7)[1:]
    assert (before, after) == ((0.0, 0.2), (0.7, 1.0))
    given = {"strength": 0.5, "set_cond_area": "mask bounds", "mask": torch.ones(16, 16), "timesteps": (0.2, 0.7)}
    ((_, options),) = set_properties(cond_NEW=words, **given)
    assert {key: options[key] for key in ("mask_strength", "set_area_to_bounds", "start_percent", "end_percent")} == {
        "mask_strength": 0.5, "set_area_to_bounds": True, "start_percent": 0.2, "end_percent": 0.7
    }  # fmt: skip
    assert options["mask"].shape == (1, 16, 16)
    assert "strength" not in options
    combined = combine_with_properties(cond=other, cond_NEW=words, strength=0.3, set_cond_area="default")
    assert [options.get("strength") for _, options in combined] == [None, 0.3]
    pair = set_properties_pair(positive_NEW=words, negative_NEW=other, strength=0.3, set_cond_area="default")
    assert [side[0][1]["strength"] for side in pair] == [0.3, 0.3]
    both = combine_with_properties_pair(
        positive=words, negative=other, positive_NEW=other, negative_NEW=words, set_cond_area="default"
    )
    assert [len(side) for side in both] == [2, 2]
    assert combine_pairs(words, other, other, words) == ([*words, *other], [*other, *words])


def test_a_default_counts_where_nothing_else_does(parts: tuple[Any, Any]) -> None:
    model, words, rest = parts[0], text(parts), text(parts, "a lake")
    left = set_mask(words, (torch.arange(16) < 8).float().expand(16, 16), 1.0, set_cond_area="default")
    found = prediction(model, combine_with_default(left, rest))
    assert torch.allclose(found[..., :8], prediction(model, words)[..., :8], atol=1e-5)
    assert torch.allclose(found[..., 8:], prediction(model, rest)[..., 8:], atol=1e-5)
    assert torch.allclose(prediction(model, combine_with_default([], rest)), prediction(model, rest), atol=1e-6)
    assert len(requests(model, combine_with_default(words, rest))) == 1
    assert len(requests(model, combine_with_default(set_area(words, 64, 128, 0, 0), rest))) == 2
    late = combine_with_default(hooked(words, None, timesteps=(0.9, 1.0)), rest)
    assert torch.allclose(prediction(model, late), prediction(model, rest), atol=1e-6)
    assert all(side[-1][1]["default"] for side in combine_with_default_pair(words, words, rest, rest))


def test_hooks_and_defaults_survive_the_way_through_entries(ctx: Loading, parts: tuple[Any, Any]) -> None:
    hooks = hook_lora_model_only("network.safetensors", ctx)
    (entry,) = parse_conditioning(to_pairs(parse_conditioning(combine_with_default([], text(parts), hooks))))
    assert entry.hooks == hooks
    assert entry.is_default


def test_jobs_of_equal_hooks_share_a_forward(ctx: Loading, parts: tuple[Any, Any]) -> None:
    model = parts[0]
    asked = [
        requests(model, hooked(text(parts, words), hook_lora_model_only("network.safetensors", ctx, strength)))[0]
        for words, strength in (("a fox", 0.5), ("a house", 0.5), ("a fox", 0.6))
    ]
    assert asked[0].batch_key == asked[1].batch_key != asked[2].batch_key
    assert answer(SimpleNamespace(requests=asked[:1]))[0].isfinite().all()
