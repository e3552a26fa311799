"""Control networks, T2I-Adapters and GLIGEN against diffusers, through files in their published forms."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.controls import ControlUse, GroundingUse, Phrase
from engine.families.control.layouts import control_names, find_form
from engine.families.control.picture import fitted_picture
from engine.nn.residuals import Residuals
from engine.nn.unet import UNetConfig
from tests.control_files import SHALLOW, opened, picture
from tests.parity.diffusers_names import unet_name
from tests.parity.test_networks_against_diffusers import ours_from, randomised, relative_error, their_unet
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import ControlNetModel, ControlNetUnionModel, T2IAdapter

TOLERANCE = 2e-5
XL = UNetConfig(4, 4, 32, (1, 2, 4), 2, (0, 1, 2), 2, 24, head_channels=64, uses_linear=True, vector_width=26)
SD1 = UNetConfig(4, 4, 32, (1, 2, 2), 2, (1, 1, 0), 1, 24)
SD2 = UNetConfig(4, 4, 32, (1, 2, 4), 2, (1, 1, 0), 1, 24, head_channels=32, uses_linear=True)
STEPS = torch.tensor([999.0, 37.0])
SIGMA = 2.0
UNION_KIND = 3


def sizes(config: UNetConfig) -> dict[str, Any]:
    levels = [config.model_channels * mult for mult in config.channel_mult]
    heads = 8 if config.head_channels is None else [config.heads(width) for width in levels]
    return {
        "block_out_channels": levels,
        "layers_per_block": config.num_res_blocks,
        "down_block_types": ["CrossAttnDownBlock2D" if d else "DownBlock2D" for d in config.transformer_depth],
        "transformer_layers_per_block": [max(1, depth) for depth in config.transformer_depth],
        "cross_attention_dim": config.context_width,
        "norm_num_groups": config.num_groups,
        "attention_head_dim": heads,
        "use_linear_projection": config.uses_linear,
        "conditioning_embedding_out_channels": (4, 8, 8, 12),
    }


XL_VECTOR = {
    "addition_embed_type": "text_time", "addition_time_embed_dim": 2, "projection_class_embeddings_input_dim": 26
}  # fmt: skip


def xl_inputs(theirs: Any) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    text, times = torch.randn(2, 14), torch.tensor([[512.0, 512, 0, 0, 512, 512]] * 2)
    vector = torch.cat([text, theirs.add_time_proj(times.flatten()).view(2, -1)], dim=1)
    return torch.randn(2, 9, 24), vector, {"text_embeds": text, "time_ids": times}


def compare(found: Residuals, down: Any, middle: torch.Tensor) -> None:
    assert len(found.skips) == len(down)
    for number, wanted in enumerate(down):
        assert relative_error(found.skips[number], wanted) < TOLERANCE
    assert relative_error(found.middle, middle) < TOLERANCE


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A model opened from a checkpoint, and diffusers' U-Net with the same weights and gated attention."""
    folder = tmp_path_factory.mktemp("base")
    theirs = their_unet(SHALLOW, 16, attention_type="gated")
    tensors = load_file(shallow_checkpoint(folder))
    gligen = {}
    for name, weight in theirs.state_dict().items():
        if name.startswith("position_net."):
            gligen[name] = weight
            continue
        target = unet_name(name, SHALLOW.num_res_blocks)
        target = target.replace(".UP.", ".2.")
        (gligen if ".fuser." in name else tensors)[
            target if ".fuser." in name else f"model.diffusion_model.{target}"
        ] = weight
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "base.safetensors")
    save_file(gligen, folder / "gligen.safetensors")
    store = store_on(host_with())
    return store.open_checkpoint(folder / "base.safetensors")[0], (theirs, store, folder)


def ours(model: Any, entry: ConditioningEntry, x: torch.Tensor) -> torch.Tensor:
    """The predicted noise."""
    inputs = model.condition(entry, torch.zeros_like(x), None).at(SIGMA)
    return (x - model.denoise(x, torch.full((x.shape[0],), SIGMA), inputs)) / SIGMA


def asked(model: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What diffusers' U-Net is asked at this level: its noisy latent and its time."""
    sigma = torch.full((x.shape[0],), SIGMA)
    return x * (sigma[0] ** 2 + 1).rsqrt(), model.parameterization.sigma_table.c_noise(sigma)


def test_a_controlnet_steers_as_in_diffusers_from_either_form_of_file(base: Any, tmp_path: Path) -> None:
    model, (theirs, *_) = base
    control = randomised(ControlNetModel(**sizes(SHALLOW)), 7)
    weights = control.state_dict()
    shapes = {key: tuple(weight.shape) for key, weight in weights.items()}
    save_file(weights, tmp_path / "diffusers.safetensors")
    form = find_form(shapes)
    assert form is not None
    published = {f"control_model.{name}": weights[key] for name, key in control_names(shapes, form).items()}
    save_file(published, tmp_path / "published.safetensors")
    x, context, image = torch.randn(2, 4, 16, 24), torch.randn(1, 9, 32), picture()
    given, times = asked(model, x)
    tokens = context.expand(2, -1, -1)
    hint = fitted_picture(image, 3, 128, 192).expand(2, -1, -1, -1)
    found = control(given, times, tokens, hint, conditioning_scale=0.7)
    wanted = theirs(
        given, times, tokens,
        down_block_additional_residuals=found.down_block_res_samples,
        mid_block_additional_residual=found.mid_block_res_sample,
    ).sample  # fmt: skip
    for name in ("diffusers", "published"):
        use = ControlUse(opened(tmp_path / f"{name}.safetensors"), image, 0.7)
        assert relative_error(ours(model, ConditioningEntry(context, controls=(use,)), x), wanted) < TOLERANCE


def test_an_xl_controlnet_computes_what_diffusers_computes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = randomised(ControlNetModel(**sizes(XL), **XL_VECTOR))
    save_file(theirs.state_dict(), tmp_path / "xl.safetensors")
    context, vector, added = xl_inputs(theirs)
    x, hint = torch.randn(2, 4, 8, 8), torch.rand(2, 3, 64, 64)
    wanted = theirs(x, STEPS, context, hint, added_cond_kwargs=added)
    found = opened(tmp_path / "xl.safetensors").residuals((hint,), x, STEPS, ConditionInputs(context, vector))
    compare(found, wanted.down_block_res_samples, wanted.mid_block_res_sample)


@pytest.mark.parametrize("config", [SD1, SD2], ids=["sd1", "sd2"])
def test_a_controlnet_of_the_first_families_computes_what_diffusers_computes(
    config: UNetConfig, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    theirs = randomised(ControlNetModel(**sizes(config)))
    save_file(theirs.state_dict(), tmp_path / "control.safetensors")
    x, hint, context = torch.randn(2, 4, 8, 16), torch.rand(2, 3, 64, 128), torch.randn(2, 9, 24)
    wanted = theirs(x, STEPS, context, hint)

    class Model:
        form = type("Form", (), {"config": config})

    control = opened(tmp_path / "control.safetensors").bound_to(Model())
    found = control.residuals((hint,), x, STEPS, ConditionInputs(context))
    compare(found, wanted.down_block_res_samples, wanted.mid_block_res_sample)


def test_a_union_controlnet_computes_what_diffusers_computes(tmp_path: Path) -> None:
    torch.manual_seed(2)
    theirs = randomised(
        ControlNetUnionModel(**sizes(XL), **XL_VECTOR, num_trans_channel=32, num_proj_channel=32, num_control_type=6)
    )
    save_file(theirs.state_dict(), tmp_path / "union.safetensors")
    context, vector, added = xl_inputs(theirs)
    x, hint = torch.randn(2, 4, 8, 8), torch.rand(1, 3, 64, 64).expand(2, -1, -1, -1)
    told = torch.zeros(2, 6)
    told[:, UNION_KIND] = 1
    wanted = theirs(x, STEPS, context, [hint], told, [UNION_KIND], added_cond_kwargs=added)
    control = opened(tmp_path / "union.safetensors").with_kind(UNION_KIND)
    found = control.residuals((hint,), x, STEPS, ConditionInputs(context, vector))
    compare(found, wanted.down_block_res_samples, wanted.mid_block_res_sample)


@pytest.mark.parametrize("kind", ["full_adapter", "light_adapter", "full_adapter_xl"])
def test_a_t2i_adapter_steers_as_in_diffusers(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    is_xl, is_light = kind.endswith("xl"), kind.startswith("light")
    config = XL if is_xl else UNetConfig(4, 4, 32, (1, 2, 2), 1, (1, 1, 0), 1, 24)
    fold, channels = (16, [32, 64, 128, 128]) if is_xl else (8, [32, 64] if is_light else [32, 64, 64])
    adapter = randomised(T2IAdapter(1 if is_xl else 3, channels, 2, fold, kind))
    save_file(adapter.state_dict(), tmp_path / "adapter.safetensors")
    more = XL_VECTOR if is_xl else {}
    theirs = their_unet(config, 16, **more)
    x, image = torch.randn(2, 4, 16, 24), picture(count=2)
    hint = fitted_picture(image, 1 if is_xl else 3, 128, 192)
    context, vector, added = xl_inputs(theirs) if is_xl else (torch.randn(2, 9, 24), None, None)
    features = [feature * 0.8 for feature in adapter(hint)]
    wanted = theirs(
        x, STEPS, context, added_cond_kwargs=added, down_intrablock_additional_residuals=list(features)
    ).sample

    class Model:
        form = type("Form", (), {"config": config})

    bound = opened(tmp_path / "adapter.safetensors").bound_to(Model())
    found = bound.residuals(tuple(f * 0.8 for f in bound.prepare(image, 16, 24)), x, STEPS, ConditionInputs(context))
    assert relative_error(ours_from(theirs, config)(x, STEPS, context, vector, found), wanted) < TOLERANCE


def test_gligen_places_phrases_as_in_diffusers(base: Any) -> None:
    model, (theirs, store, folder) = base
    torch.manual_seed(4)
    x, context, pooled = torch.randn(1, 4, 16, 24), torch.randn(1, 9, 32), torch.randn(2, 32)
    boxes, filled, texts = torch.zeros(1, 30, 4), torch.zeros(1, 30), torch.zeros(1, 30, 32)
    boxes[0, :2] = torch.tensor([[2 / 24, 4 / 16, 8 / 24, 12 / 16], [12 / 24, 0, 24 / 24, 8 / 16]])
    filled[0, :2], texts[0, :2] = 1, pooled
    given, times = asked(model, x)
    extra = {"gligen": {"boxes": boxes, "masks": filled, "positive_embeddings": texts}}
    wanted = theirs(given, times, context, cross_attention_kwargs=extra).sample
    phrases = (Phrase(pooled[:1], 8, 6, 4, 2), Phrase(pooled[1:], 8, 12, 0, 12))
    use = GroundingUse(store.open_grounding(folder / "gligen.safetensors"), phrases)
    assert relative_error(ours(model, ConditioningEntry(context, grounding=use), x), wanted) < TOLERANCE
    plain = theirs(given, times, context).sample
    assert relative_error(ours(model, ConditioningEntry(context), x), plain) < TOLERANCE
    assert relative_error(plain, wanted) > 1e-3
