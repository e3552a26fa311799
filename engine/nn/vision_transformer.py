"""The CLIP vision transformer, with the key names of the transformers library (vision_model.…, visual_projection).

Source: Dosovitskiy et al. 2021, arXiv:2010.11929, as Radford et al. 2021, arXiv:2103.00020, use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.nn.clip_layer import ClipEncoder
from engine.nn.layers import Conv2d, Embedding, LayerNorm, Linear

__all__ = ["VisionConfig", "VisionStates", "VisionTransformer", "vision_config"]


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """Sizes of a vision transformer. `activation` is quick_gelu (OpenAI) or gelu (OpenCLIP).

    image_px: edge of the square pictures it sees. patch_px: edge of a patch. projection_width: width of the pooled
    output's projection, None when the file has none.
    """

    width: int
    num_layers: int
    num_heads: int
    inner_width: int
    image_px: int = 224
    patch_px: int = 14
    activation: str = "quick_gelu"
    projection_width: int | None = None

    @property
    def num_tokens(self) -> int:
        """Patches of a picture and the token of the whole."""
        return (self.image_px // self.patch_px) ** 2 + 1


@dataclass(frozen=True, slots=True)
class VisionStates:
    """What the transformer tells of pictures.

    last [b n d], penultimate [b n d]: outputs of the last two layers, not normed. pooled [b d]: the whole picture's
    token of the last layer, normed. embedding [b k]: `pooled`, projected if there is a projection.
    """

    last: Tensor
    penultimate: Tensor
    pooled: Tensor
    embedding: Tensor


class _Embeddings(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(config.width))
        self.patch_embedding = Conv2d(3, config.width, config.patch_px, stride=config.patch_px, bias=False)
        self.position_embedding = Embedding(config.num_tokens, config.width)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        whole = self.class_embedding.to(patches).expand(len(patches), 1, -1)
        tokens = torch.cat([whole, patches], dim=1)
        return tokens + self.position_embedding(torch.arange(tokens.shape[1], device=tokens.device))


class _VisionModel(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        # The published files spell it so.
        self.pre_layrnorm = LayerNorm(config.width)
        self.encoder = ClipEncoder(
            config.num_layers, config.width, config.num_heads, config.inner_width, config.activation, is_causal=False
        )
        self.post_layernorm = LayerNorm(config.width)


class VisionTransformer(nn.Module):
    """Pictures → one vector a patch and one a picture."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = _VisionModel(config)
        if config.projection_width is not None:
            self.visual_projection = Linear(config.width, config.projection_width, bias=False)

    def forward(self, pixels: Tensor) -> VisionStates:
        """Pixels [b 3 s s] with s = `image_px`, normalised by CLIP's means and deviations."""
        model = self.vision_model
        x = before = model.pre_layrnorm(model.embeddings(pixels))
        for layer in model.encoder.layers:
            before, x = x, layer(x)
        pooled = model.post_layernorm(x[:, 0])
        embedding = pooled if self.config.projection_width is None else self.visual_projection(pooled)
        return VisionStates(x, before, pooled, embedding)


def vision_config(shapes: Mapping[str, tuple[int, ...]], prefix: str = "") -> VisionConfig | None:
    """Sizes of the vision transformer whose keys `vision_model.…` lie below `prefix`; None when there is none.

    The projection is looked for at `visual_projection.weight` below the prefix. A head has 64 channels in CLIP L, 80 in
    H and 104 in bigG; the files do not say, and neither do they name the activation, which is OpenAI's in L alone.
    """
    patches = shapes.get(f"{prefix}vision_model.embeddings.patch_embedding.weight")
    positions = shapes.get(f"{prefix}vision_model.embeddings.position_embedding.weight")
    inner = shapes.get(f"{prefix}vision_model.encoder.layers.0.mlp.fc1.weight")
    if patches is None or positions is None or inner is None:
        return None
    width, patch_px = patches[0], patches[-1]
    num_layers = 0
    while f"{prefix}vision_model.encoder.layers.{num_layers}.layer_norm1.weight" in shapes:
        num_layers += 1
    projection = shapes.get(f"{prefix}visual_projection.weight")
    return VisionConfig(
        width,
        num_layers,
        16 if width in _OPEN_CLIP_WIDTHS else max(1, width // 64),
        inner[0],
        image_px=round((positions[0] - 1) ** 0.5) * patch_px,
        patch_px=patch_px,
        activation="gelu" if width in _OPEN_CLIP_WIDTHS else "quick_gelu",
        projection_width=None if projection is None else projection[0],
    )


_OPEN_CLIP_WIDTHS = frozenset({1280, 1664})
"""Widths of the published towers H and bigG, which have 16 heads each."""
