"""Merging models and text encoders: sums of their weights, made when the weights are prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from engine.api import Clip, Context, Each, Model, Range, Shares, merge_weights, node

__all__ = [
    "add_clips",
    "add_models",
    "merge_blocks",
    "merge_clips",
    "merge_models",
    "merge_sd1_blocks",
    "merge_sd2_blocks",
    "merge_sdxl_blocks",
    "subtract_clips",
    "subtract_models",
]

CATEGORY = "advanced/model_merging"
Ratio = Annotated[float, Range(0.0, 1.0, step=0.01)]
Multiplier = Annotated[float, Range(-10.0, 10.0, step=0.01)]

_OUTSIDE = ("time_embed.", "label_emb.")
_MIDDLE = tuple(f"middle_block.{number}" for number in range(3))
_TWELVE_BLOCKS = (
    *_OUTSIDE,
    *(f"input_blocks.{number}." for number in range(12)),
    *(f"{name}." for name in _MIDDLE),
    *(f"output_blocks.{number}." for number in range(12)),
    "out.",
)
_NINE_BLOCKS = (
    *_OUTSIDE,
    *(f"input_blocks.{number}" for number in range(9)),
    *_MIDDLE,
    *(f"output_blocks.{number}" for number in range(9)),
    "out.",
)
TwelveRatios = Annotated[float, Range(0.0, 1.0, step=0.01), Each(_TWELVE_BLOCKS, 1.0)]
NineRatios = Annotated[float, Range(0.0, 1.0, step=0.01), Each(_NINE_BLOCKS, 1.0)]


@node("ModelMergeSimple", category=CATEGORY, lane="io")
def merge_models(model1: Model, model2: Model, ctx: Context, ratio: Ratio = 1.0) -> Model:
    """ratio · model1 + (1 - ratio) · model2, weight by weight. Everything but the weights is model1's."""
    return merge_weights(model1, model2, lambda name: Shares(ratio, 1.0 - ratio), ctx.warn)


@node("ModelMergeSubtract", category=CATEGORY, lane="io")
def subtract_models(model1: Model, model2: Model, ctx: Context, multiplier: Multiplier = 1.0) -> Model:
    """multiplier · (model1 - model2), weight by weight: what a training has changed, to be added to another model."""
    return merge_weights(model1, model2, lambda name: Shares(multiplier, -multiplier), ctx.warn)


@node("ModelMergeAdd", category=CATEGORY, lane="io")
def add_models(model1: Model, model2: Model, ctx: Context) -> Model:
    """model1 + model2, weight by weight."""
    return merge_weights(model1, model2, lambda name: Shares(1.0, 1.0), ctx.warn)


@node("CLIPMergeSimple", category=CATEGORY, lane="io")
def merge_clips(clip1: Clip, clip2: Clip, ctx: Context, ratio: Ratio = 1.0) -> Clip:
    """ratio · clip1 + (1 - ratio) · clip2, weight by weight."""
    return merge_weights(clip1, clip2, lambda name: Shares(ratio, 1.0 - ratio), ctx.warn)


@node("CLIPMergeSubtract", category=CATEGORY, lane="io")
def subtract_clips(clip1: Clip, clip2: Clip, ctx: Context, multiplier: Multiplier = 1.0) -> Clip:
    """multiplier · (clip1 - clip2), weight by weight."""
    return merge_weights(clip1, clip2, lambda name: Shares(multiplier, -multiplier), ctx.warn)


@node("CLIPMergeAdd", category=CATEGORY, lane="io")
def add_clips(clip1: Clip, clip2: Clip, ctx: Context) -> Clip:
    """clip1 + clip2, weight by weight."""
    return merge_weights(clip1, clip2, lambda name: Shares(1.0, 1.0), ctx.warn)


@node("ModelMergeBlocks", category=CATEGORY, lane="io")
def merge_blocks(
    model1: Model, model2: Model, ctx: Context, input: Ratio = 1.0, middle: Ratio = 1.0, out: Ratio = 1.0
) -> Model:
    """As ModelMergeSimple with a ratio for each half of the network and its middle.

    What belongs to none of them, the embeddings of time and size, goes with `input`.
    """
    return _merged_by_place(model1, model2, {"input": input, "middle": middle, "out": out}, ctx)


@node("ModelMergeSD1", category=f"{CATEGORY}/model_specific", lane="io")
def merge_sd1_blocks(model1: Model, model2: Model, ctx: Context, **ratios: TwelveRatios) -> Model:
    """As ModelMergeSimple with a ratio for every block of a Stable Diffusion 1 network."""
    return _merged_by_place(model1, model2, ratios, ctx)


@node("ModelMergeSD2", category=f"{CATEGORY}/model_specific", lane="io")
def merge_sd2_blocks(model1: Model, model2: Model, ctx: Context, **ratios: TwelveRatios) -> Model:
    """As ModelMergeSimple with a ratio for every block of a Stable Diffusion 2 network."""
    return _merged_by_place(model1, model2, ratios, ctx)


@node("ModelMergeSDXL", category=f"{CATEGORY}/model_specific", lane="io")
def merge_sdxl_blocks(model1: Model, model2: Model, ctx: Context, **ratios: NineRatios) -> Model:
    """As ModelMergeSimple with a ratio for every block of a Stable Diffusion XL network."""
    return _merged_by_place(model1, model2, ratios, ctx)


def _merged_by_place(model1: Any, model2: Any, ratios: Mapping[str, float], ctx: Context) -> Any:
    """Each weight with the ratio whose name is the longest it begins with, else with the first of all."""
    longest_first = sorted(ratios, key=len, reverse=True)
    first = next(iter(ratios.values()))

    def shares(name: str) -> Shares:
        ratio = next((ratios[start] for start in longest_first if name.startswith(start)), first)
        return Shares(ratio, 1.0 - ratio)

    return merge_weights(model1, model2, shares, ctx.warn)
