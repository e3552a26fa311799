"""Full-size synthesized files of Stable Diffusion 2, XL and the refiner against diffusers, open_clip and transformers.

Half-precision files of 2.6 to 7 GB are made once in pytest's cache folder; both sides compute in float32.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from open_clip.transformer import TextTransformer as OpenClipText
from torch import nn

from engine.families.text.clip_pair import ClipPair
from engine.families.unet.diffusers_form import published_names
from engine.weights.checkpoint import Checkpoint, open_checkpoint
from tests.parity.full_size_files import full_size_folder, half_precision_checkpoint
from tests.tiny_sd1 import host_with, store_on

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(3600)]

TOLERANCE = 1e-4
BUDGET_BYTES = 6 << 30
TEXT = "a lighthouse on a cliff, oil painting"

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
XL = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
NETWORKS = {
    "sd21-768-v": {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20]},
    "sdxl-base-1.0": {
        **XL, "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280],
        "down_block_types": [PLAIN, CROSS, CROSS], "transformer_layers_per_block": [1, 2, 10],
        "projection_class_embeddings_input_dim": 2816,
    },
    "sdxl-refiner-1.0": {
        **XL, "cross_attention_dim": 1280, "attention_head_dim": [6, 12, 24, 24],
        "block_out_channels": [384, 768, 1536, 1536], "down_block_types": [PLAIN, CROSS, CROSS, PLAIN],
        "transformer_layers_per_block": 4, "projection_class_embeddings_input_dim": 2560,
    },
}  # fmt: skip
OPEN_CLIP = {
    "sd21-768-v": ("cond_stage_model.model.", 1024, 24),
    "sdxl-base-1.0": ("conditioner.embedders.1.model.", 1280, 32),
    "sdxl-refiner-1.0": ("conditioner.embedders.0.model.", 1280, 32),
}


@pytest.fixture(scope="module", params=NETWORKS)
def path(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Path:
    return half_precision_checkpoint(full_size_folder(pytestconfig), request.param)


def name_of(path: Path) -> str:
    return path.name.removesuffix("_s0_fp16.safetensors")


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def filled(network: nn.Module, checkpoint: Checkpoint, keys: dict[str, str]) -> nn.Module:
    """A network built without storage with float32 copies of a file's tensors: name → key."""
    shapes = {name: weight.shape for name, weight in network.state_dict().items()}
    weights = {name: checkpoint.tensor(key).float().reshape(shapes[name]) for name, key in keys.items()}
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def their_network(name: str, checkpoint: Checkpoint) -> UNet2DConditionModel:
    settings = dict(NETWORKS[name])
    kinds = settings.get("down_block_types", [CROSS, CROSS, CROSS, PLAIN])
    settings["up_block_types"] = [kind.replace("Down", "Up") for kind in reversed(kinds)]
    with torch.device("meta"):
        network = UNet2DConditionModel(sample_size=64, use_linear_projection=True, **settings)
    published = published_names({key: tuple(weight.shape) for key, weight in network.state_dict().items()})
    keys = {theirs: f"model.diffusion_model.{ours}" for ours, theirs in published.items()}
    return filled(network, checkpoint, keys)


def test_the_network_computes_what_diffusers_computes(path: Path) -> None:
    name = name_of(path)
    model = store_on(host_with(BUDGET_BYTES)).open_checkpoint(path)[0]
    torch.manual_seed(0)
    x, steps = torch.randn(1, 4, 16, 16), torch.tensor([500.0])
    context, vector, conditions = torch.randn(1, 77, model.context_width), None, None
    with open_checkpoint(path) as checkpoint:
        theirs = their_network(name, checkpoint)
        if "addition_embed_type" in NETWORKS[name]:
            text, times = torch.randn(1, 1280), torch.rand(1, 5 if "refiner" in name else 6) * 1000
            conditions = {"text_embeds": text, "time_ids": times}
            vector = torch.cat([text, theirs.add_time_proj(times.flatten()).view(1, -1)], dim=1)
        wanted = theirs(x, steps, context, added_cond_kwargs=conditions).sample
    del theirs
    found = model.host.run(model.source, lambda module: module(x, steps, context, vector))
    assert relative_error(found, wanted) < TOLERANCE


def test_open_clip_s_text_encoder_computes_what_open_clip_computes(path: Path) -> None:
    prefix, width, layers = OPEN_CLIP[name_of(path)]
    clip = store_on(host_with(BUDGET_BYTES)).open_checkpoint(path)[1]
    encoder = clip.second if isinstance(clip, ClipPair) else clip
    found = encoder.encode(TEXT)
    tokens = torch.tensor([[token for token, _ in encoder.tokenize(TEXT)[encoder.key][0]]])
    with open_checkpoint(path) as checkpoint:
        theirs = OpenClipText(width=width, heads=width // 64, layers=layers, output_dim=width)
        keys = {key: prefix + key for key in theirs.state_dict() if key != "attn_mask"}
        filled(theirs, checkpoint, keys)
    x = theirs.token_embedding(tokens) + theirs.positional_embedding
    for block in theirs.transformer.resblocks[:-1]:
        x = block(x, attn_mask=theirs.attn_mask)
    assert relative_error(found.context, theirs.ln_final(x) if width == 1024 else x) < TOLERANCE
    assert relative_error(found.pooled, theirs(tokens)) < TOLERANCE


def test_the_first_encoder_of_xl_computes_what_transformers_computes(path: Path) -> None:
    clip = store_on(host_with(BUDGET_BYTES)).open_checkpoint(path)[1]
    if not isinstance(clip, ClipPair):
        assert name_of(path) != "sdxl-base-1.0"
        return
    with open_checkpoint(path) as checkpoint:
        config = CLIPTextConfig(hidden_act="quick_gelu", hidden_size=768, intermediate_size=3072,
                                num_hidden_layers=12, num_attention_heads=12)  # fmt: skip
        theirs = CLIPTextModel(config)
        prefix = "conditioner.embedders.0.transformer.text_model."
        names = [name for name in theirs.state_dict() if not name.endswith("position_ids")]
        filled(theirs, checkpoint, {name: prefix + name.removeprefix("text_model.") for name in names})
    tokens = torch.tensor([[token for token, _ in clip.tokenize(TEXT)["l"][0]]])
    wanted = theirs(tokens, output_hidden_states=True).hidden_states[-2]
    assert relative_error(clip.encode(TEXT).context[..., :768], wanted) < TOLERANCE
