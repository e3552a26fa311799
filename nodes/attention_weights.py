"""Attention made stronger or weaker by scaling the weights of its projections."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from engine.api import Clip, Model, Range, Shares, merge_weights, node

__all__ = [
    "multiply_clip_attention",
    "multiply_cross_attention",
    "multiply_self_attention",
    "multiply_temporal_attention",
]

CATEGORY = "_for_testing/attention_experiments"
Factor = Annotated[float, Range(0.0, 10.0, step=0.01)]


@node("UNetSelfAttentionMultiply", category=CATEGORY, experimental=True, schema_form=True)
def multiply_self_attention(
    model: Model, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Model:
    """The queries, keys, values and outputs of all self-attentions, each times a factor."""
    return _scaled(model, _unet_factors("attn1", q, k, v, out))


@node("UNetCrossAttentionMultiply", category=CATEGORY, experimental=True, schema_form=True)
def multiply_cross_attention(
    model: Model, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Model:
    """The queries, keys, values and outputs of all attentions to the prompt, each times a factor."""
    return _scaled(model, _unet_factors("attn2", q, k, v, out))


@node("CLIPAttentionMultiply", category=CATEGORY, experimental=True, schema_form=True)
def multiply_clip_attention(clip: Clip, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0) -> Clip:
    """The queries, keys, values and outputs of the text encoder's attentions, each times a factor."""
    factors = {
        rf".*self_attn\.{part}_proj\.(weight|bias)": factor for part, factor in zip("qkv", (q, k, v), strict=True)
    }
    return _scaled(clip, {**factors, r".*self_attn\.out_proj\.(weight|bias)": out})


@node("UNetTemporalAttentionMultiply", category=CATEGORY, experimental=True, schema_form=True)
def multiply_temporal_attention(
    model: Model,
    self_structural: Factor = 1.0,
    self_temporal: Factor = 1.0,
    cross_structural: Factor = 1.0,
    cross_temporal: Factor = 1.0,
) -> Model:
    """The outputs of attentions within frames (structural) and between frames (temporal), each times a factor."""
    output = r"\.to_out\.0\.(weight|bias)"
    return _scaled(
        model,
        {
            rf".*time_stack.*attn1{output}": self_temporal,
            rf".*time_stack.*attn2{output}": cross_temporal,
            rf".*attn1{output}": self_structural,
            rf".*attn2{output}": cross_structural,
        },
    )


def _unet_factors(attention: str, q: float, k: float, v: float, out: float) -> dict[str, float]:
    factors = {rf".*\.{attention}\.to_{part}\.weight": factor for part, factor in zip("qkv", (q, k, v), strict=True)}
    return {**factors, rf".*\.{attention}\.to_out\.0\.(weight|bias)": out}


def _scaled(handle: Any, factors: Mapping[str, float]) -> Any:
    """The handle with each weight times the factor of the first pattern that its name fits."""
    patterns = [(re.compile(pattern), factor) for pattern, factor in factors.items()]

    def shares(name: str) -> Shares:
        return Shares(next((factor for pattern, factor in patterns if pattern.fullmatch(name)), 1.0), 0.0)

    return merge_weights(handle, handle, shares)
