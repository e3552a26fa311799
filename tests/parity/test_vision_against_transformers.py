"""The vision transformer against transformers, on the same random weights."""

from __future__ import annotations

import warnings

import pytest
import torch

from engine.nn.vision_transformer import VisionConfig, VisionTransformer, vision_config

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

TOLERANCE = 1e-5


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_the_vision_transformer_computes_what_transformers_computes(activation: str) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    theirs = CLIPVisionModelWithProjection(
        CLIPVisionConfig(**sizes, image_size=28, patch_size=7, projection_dim=24, hidden_act=activation)
    ).eval()
    ours = VisionTransformer(VisionConfig(64, 3, 4, 96, 28, 7, activation, 24))
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.endswith("position_ids")})
    pixels = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        states = ours(pixels)
        wanted = theirs(pixels, output_hidden_states=True)
    assert torch.allclose(states.last, wanted.hidden_states[-1], atol=TOLERANCE)
    assert torch.allclose(states.penultimate, wanted.hidden_states[-2], atol=TOLERANCE)
    assert torch.allclose(states.embedding, wanted.image_embeds, atol=TOLERANCE)


def test_the_sizes_of_a_vision_transformer_are_those_of_its_weights() -> None:
    config = VisionConfig(128, 2, 2, 192, 28, 14, "quick_gelu", 24)
    with torch.device("meta"):
        shapes = {f"p.{name}": tuple(w.shape) for name, w in VisionTransformer(config).state_dict().items()}
    assert vision_config(shapes, "p.") == config
    assert vision_config(shapes) is None
