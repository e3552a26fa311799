"""Stable Diffusion 2, XL and the refiner, opened from files, against open_clip, transformers and diffusers."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from open_clip.transformer import TextTransformer as OpenClipText
from safetensors.torch import save_file
from torch import nn

from engine.nn.unet import UNetConfig
from tests.tiny_families import small_file
from tests.tiny_sd1 import host_with, store_on

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

TOLERANCE = 2e-5
SD2 = UNetConfig(4, 4, 32, (1, 2), 1, (1, 0), 1, 32, head_channels=64, uses_linear=True)
SDXL = UNetConfig(4, 4, 32, (1, 2), 1, (0, 1), 1, 96, head_channels=64, uses_linear=True, vector_width=40 + 6 * 256)
TEXT = "a red fox, in the snow"


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def randomised(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, weight in network.named_parameters():
            is_norm = weight.ndim == 1 and name.endswith("weight")
            scale = 0.1 if weight.ndim == 1 or "embedding" in name else weight[0].numel() ** -0.5
            weight.copy_(torch.randn(weight.shape) * scale + float(is_norm))
    return network.eval().requires_grad_(False)


def open_clip_text(width: int, projection: int) -> OpenClipText:
    return randomised(
        OpenClipText(vocab_size=600, width=width, heads=width // 32 if width < 64 else width // 64, layers=3,
                     output_dim=projection, mlp_ratio=1.5)
    )  # fmt: skip


def penultimate(theirs: OpenClipText, tokens: torch.Tensor) -> torch.Tensor:
    x = theirs.token_embedding(tokens) + theirs.positional_embedding
    for block in theirs.transformer.resblocks[:-1]:
        x = block(x, attn_mask=theirs.attn_mask)
    return x


@pytest.mark.parametrize(("family", "unet", "width", "projection"), [("sd2", SD2, 32, 32), ("sdxl", SDXL, 64, 40)])
def test_open_clip_text_is_that_of_open_clip(family: str, unet, width: int, projection: int, tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = open_clip_text(width, projection)
    prefix = "cond_stage_model.model." if family == "sd2" else "conditioner.embedders.1.model."
    add = {prefix + name: weight.contiguous() for name, weight in theirs.state_dict().items() if name != "attn_mask"}
    clip = store_on(host_with()).open_checkpoint(small_file(family, tmp_path, unet, add))[1]
    encoder = clip if family == "sd2" else clip.second
    tokens = torch.tensor([[token for token, _ in encoder.tokenize(TEXT)[encoder.key][0]]])
    assert int(tokens[0].argmax()) == int((tokens[0] == 599).int().argmax())
    hidden = penultimate(theirs, tokens)
    found = encoder.encode(TEXT)
    assert relative_error(found.context, theirs.ln_final(hidden) if family == "sd2" else hidden) < TOLERANCE
    assert relative_error(found.pooled, theirs(tokens)) < TOLERANCE


def test_the_first_encoder_of_xl_is_that_of_transformers(tmp_path: Path) -> None:
    torch.manual_seed(2)
    theirs = randomised(
        CLIPTextModel(
            CLIPTextConfig(
                vocab_size=600, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=1,
                hidden_act="quick_gelu", bos_token_id=598, eos_token_id=599,
            )
        )
    )  # fmt: skip
    prefix = "conditioner.embedders.0.transformer."
    weights = {name if "text_model." in name else f"text_model.{name}": w for name, w in theirs.state_dict().items()}
    add = {prefix + name: weight.contiguous() for name, weight in weights.items()}
    clip = store_on(host_with()).open_checkpoint(small_file("sdxl", tmp_path, SDXL, add))[1]
    tokens = torch.tensor([[token for token, _ in clip.tokenize(TEXT)["l"][0]]])
    wanted = theirs(tokens, output_hidden_states=True).hidden_states[-2]
    assert relative_error(clip.encode(TEXT).context[..., :32], wanted) < TOLERANCE


def their_unet(levels: list[int], depths: list, context: int, **more: object) -> UNet2DConditionModel:
    has_attention = [depth != 0 for depth in depths]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = UNet2DConditionModel(
            sample_size=16, block_out_channels=levels, layers_per_block=2, cross_attention_dim=context,
            down_block_types=["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in has_attention],
            up_block_types=["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(has_attention)],
            transformer_layers_per_block=[depth or 1 for depth in depths], use_linear_projection=True,
            attention_head_dim=[max(1, channels // 64) for channels in levels], norm_num_groups=levels[0] // 4, **more,
        )  # fmt: skip
    return randomised(network)


XL = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
CASES = {
    "sd2": ("sd2", [32, 64, 128], [1, 1, 0], 1024, {}),
    "sdxl": ("sdxl", [32, 64, 128], [0, 1, 2], 2048, {**XL, "projection_class_embeddings_input_dim": 2816}),
    "refiner": ("sdxl_refiner", [32, 64, 64, 64], [0, 2, 2, 0], 1280,
                {**XL, "projection_class_embeddings_input_dim": 2560}),
    "pruned": ("sdxl", [32, 64, 128], [0, [2, 2], [1, 1]], 2048,
               {**XL, "projection_class_embeddings_input_dim": 2816, "mid_block_type": "UNetMidBlock2D",
                "reverse_transformer_layers_per_block": [[1, 1, 3], [2, 1, 1], 1]}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_network_in_diffusers_form_computes_what_diffusers_computes(case: str, tmp_path: Path) -> None:
    family, levels, depths, context_width, more = CASES[case]
    torch.manual_seed(3)
    theirs = their_unet(levels, depths, context_width, **more)
    save_file({name: w.contiguous() for name, w in theirs.state_dict().items()}, tmp_path / "unet.safetensors")
    model = store_on(host_with()).open_diffusion_model(tmp_path / "unet.safetensors")
    assert model.family == family
    x, steps, context = torch.randn(2, 4, 16, 24), torch.tensor([999.0, 37.0]), torch.randn(2, 7, context_width)
    vector, conditions = None, None
    if "addition_embed_type" in more:
        num_numbers = 5 if case == "refiner" else 6
        text, times = torch.randn(2, 1280), torch.rand(2, num_numbers) * 1000
        conditions = {"text_embeds": text, "time_ids": times}
        vector = torch.cat([text, theirs.add_time_proj(times.flatten()).view(2, -1)], dim=1)
    wanted = theirs(x, steps, context, added_cond_kwargs=conditions).sample
    found = model.host.run(model.source, lambda module: module(x, steps, context, vector))
    assert relative_error(found, wanted) < TOLERANCE
