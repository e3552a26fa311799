"""Changes of what a model computes that touch no weight."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.api import (
    AttentionMap,
    Bool,
    Compiled,
    DeepShrink,
    FreeU,
    HyperTile,
    IdentityAttention,
    Model,
    NodeError,
    Range,
    TokenMerging,
    diffusion,
    imaging,
    node,
)

__all__ = [
    "compile_model",
    "deep_shrink",
    "free_u",
    "free_u_2",
    "hyper_tile",
    "merge_tokens",
    "perturbed_attention",
    "self_attention_guidance",
]

CATEGORY = "model_patches/unet"
Method = Literal["bicubic", "nearest-exact", "bilinear", "area", "bislerp"]
Fraction = Annotated[float, Range(0.0, 1.0, step=0.001)]
Factor = Annotated[float, Range(0.0, 10.0, step=0.01)]


@node("FreeU", title="FreeU", category=CATEGORY)
def free_u(model: Model, b1: Factor = 1.1, b2: Factor = 1.2, s1: Factor = 0.9, s2: Factor = 0.2) -> Model:
    """Stronger backbone features (b) and weaker low frequencies of the skips (s) on the two coarse levels."""
    return model.with_edit(FreeU((b1, b2), (s1, s2)))


@node("FreeU_V2", title="FreeU_V2", category=CATEGORY)
def free_u_2(model: Model, b1: Factor = 1.3, b2: Factor = 1.4, s1: Factor = 0.9, s2: Factor = 0.2) -> Model:
    """As FreeU, with the backbone scaled where its features are strong."""
    return model.with_edit(FreeU((b1, b2), (s1, s2), follows_structure=True))


@node("PerturbedAttentionGuidance", category=CATEGORY, schema_form=True)
def perturbed_attention(model: Model, scale: Annotated[float, Range(0.0, 100.0, step=0.01, round=0.01)] = 3.0) -> Model:
    """Lead away from what the model predicts when its middle block attends to nothing; one more forward per step."""
    rule = diffusion.PerturbedGuidance(IdentityAttention(), scale)
    return model.with_guidance(model.guidance.with_correction(rule))


@node(
    "SelfAttentionGuidance",
    title="Self-Attention Guidance",
    category="_for_testing",
    experimental=True,
    schema_form=True,
)
def self_attention_guidance(
    model: Model,
    scale: Annotated[float, Range(-2.0, 5.0, step=0.01)] = 0.5,
    blur_sigma: Annotated[float, Range(0.0, 10.0, step=0.1)] = 2.0,
) -> Model:
    """Lead away from what the model makes of its picture with the places it attends to blurred; two more forwards."""
    rule = diffusion.SelfAttentionGuidance(AttentionMap(), scale, blur_sigma)
    return model.with_guidance(model.guidance.with_correction(rule))


@node(
    "PatchModelAddDownscale",
    title="PatchModelAddDownscale (Kohya Deep Shrink)",
    category=CATEGORY,
    schema_form=True,
)
def deep_shrink(
    *,
    model: Model,
    block_number: Annotated[int, Range(1, 32, step=1)] = 3,
    downscale_factor: Annotated[float, Range(0.1, 9.0, step=0.001)] = 2.0,
    start_percent: Fraction = 0.0,
    end_percent: Fraction = 0.35,
    downscale_after_skip: Bool = True,
    downscale_method: Method,
    upscale_method: Method,
) -> Model:
    """Let the inner blocks work on a smaller picture at first, so that large pictures keep one composition."""
    table = model.parameterization.sigma_table
    edit = DeepShrink(
        block=block_number,
        factor=downscale_factor,
        sigma_start=table.sigma_at_fraction(start_percent),
        sigma_end=table.sigma_at_fraction(end_percent),
        keeps_skip=downscale_after_skip,
        shrink_method=downscale_method,
        grow_method=upscale_method,
        resize=imaging.resize,
    )
    return model.with_edit(edit)


@node("HyperTile", category=CATEGORY, schema_form=True)
def hyper_tile(
    model: Model,
    tile_size: Annotated[int, Range(1, 2048)] = 256,
    swap_size: Annotated[int, Range(1, 128)] = 2,
    max_depth: Annotated[int, Range(0, 10)] = 0,
    scale_depth: Bool = False,
) -> Model:
    """Self-attention within tiles on the fine levels: much less work for large pictures, nearly the same result.

    `tile_size` is in pixels and at least 32; with a `swap_size` above 2 the layers take turns among tile sizes.
    """
    tile_cells = max(tile_size, 32) // model.latent_format.downscale
    return model.with_edit(HyperTile(tile_cells, swap_size, max_depth, scale_depth))


@node("TomePatchModel", category=CATEGORY, schema_form=True)
def merge_tokens(model: Model, ratio: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.3) -> Model:
    """Self-attention on the finest level over fewer tokens (ToMe): this share joins a token that is much like it.

    Quicker for large pictures, with a little less detail. At most three quarters can join.
    """
    return model.with_edit(TokenMerging(ratio))


@node("TorchCompileModel", category="_for_testing", experimental=True, schema_form=True)
def compile_model(model: Model, backend: Literal["inductor", "cudagraphs"]) -> Model:
    """The model compiled by torch: long first steps for every new size, quicker ones afterwards.

    "inductor" needs a C++ compiler, "cudagraphs" a graphics card of NVIDIA.
    """
    if backend == "cudagraphs" and model.device.type != "cuda":
        raise NodeError(
            f"CUDA graphs need a CUDA device; this model runs on {model.device}.",
            code="unsupported_backend",
            hint='Choose "inductor".',
            input="backend",
        )
    return model.with_edit(Compiled(backend))
