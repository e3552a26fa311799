"""Control networks: a copy of a U-Net's way down that is shown a picture and adds to the U-Net's feature maps.

Source: Zhang et al. 2023, arXiv:2302.05543, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from engine.nn.clip_layer import ClipLayer
from engine.nn.embeddings import sinusoidal_embedding
from engine.nn.layers import Conv2d, Linear
from engine.nn.residuals import Residuals
from engine.nn.unet_encoder import UNetConfig, UNetEncoder

__all__ = ["HINT_SCALE", "ControlNet", "ControlNetConfig", "KindsConfig"]

HINT_SCALE = 8
"""Pixels of the picture per cell of the latent."""


@dataclass(frozen=True, slots=True)
class KindsConfig:
    """Of a network for several kinds of picture: how many, and the transformer that tells it which one it sees.

    number_width: of the embedding of each kind's yes or no.
    """

    num_kinds: int
    width: int
    num_layers: int
    num_heads: int
    number_width: int


@dataclass(frozen=True, slots=True)
class ControlNetConfig:
    """Sizes of a control network.

    encoder: those of the half it copies. hint_channels: the picture's, then those of each size of the maps made of it.
    kinds: of a network for several kinds of picture, None for one kind. pools_globally: adds the mean over each map,
    so that the picture says what there is but not where.
    """

    encoder: UNetConfig
    hint_channels: tuple[int, ...]
    kinds: KindsConfig | None = None
    pools_globally: bool = False


class ControlNet(UNetEncoder):
    """Noisy latent, time, text and a picture to residuals for every block.

    Keys: those of the encoder, input_hint_block, zero_convs, middle_block_out; with kinds also task_embedding,
    transformer_layes (published so), spatial_ch_projs, control_add_embedding.
    """

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__(config.encoder)
        self.control = config
        width = config.encoder.model_channels
        self.input_hint_block = _hint_block(config.hint_channels, width)
        self.zero_convs = nn.ModuleList(nn.Sequential(Conv2d(size, size, 1)) for size in self.skip_channels)
        last = width * config.encoder.channel_mult[-1]
        self.middle_block_out = nn.Sequential(Conv2d(last, last, 1))
        kinds = config.kinds
        if kinds is not None:
            self.task_embedding = nn.Parameter(torch.empty(kinds.num_kinds, kinds.width))
            self.transformer_layes = nn.ModuleList(
                ClipLayer(kinds.width, kinds.num_heads, 4 * kinds.width, "quick_gelu", is_causal=False)
                for _ in range(kinds.num_layers)
            )
            self.spatial_ch_projs = Linear(kinds.width, width)
            self.control_add_embedding = _KindEmbedding(kinds, self.time_width)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor | None,
        vector: Tensor | None,
        hint: Tensor,
        kind: int | None = None,
    ) -> Residuals:
        """x [b c h w], timesteps [b], context [b n d], vector [b k], hint [b 3 8h 8w] → residuals at strength 1.

        kind: which kind of picture the hint is, for networks of several; None when that is not said.
        """
        time = self.embed(timesteps, vector, x.dtype)
        if self.control.kinds is not None:
            time = time + self.control_add_embedding(kind, time)
        x = self.input_blocks[0](x, time, context) + self._shown(hint, kind)
        skips = {0: self._finished(self.zero_convs[0](x))}
        for number in range(1, len(self.input_blocks)):
            x = self.input_blocks[number](x, time, context)
            skips[number] = self._finished(self.zero_convs[number](x))
        middle = self.middle_block_out(self.middle_block(x, time, context))
        return Residuals(skips=skips, middle=self._finished(middle))

    def _shown(self, hint: Tensor, kind: int | None) -> Tensor:
        """The picture as features of the latent's size; shifted by what its kind makes of its mean."""
        features = self.input_hint_block(hint)
        if self.control.kinds is None or kind is None:
            return features
        # One token for each item: items of a batch do not attend to each other.
        token = (features.mean(dim=(2, 3)) + self.task_embedding[kind])[:, None]
        for layer in self.transformer_layes:
            token = layer(token)
        return features + self.spatial_ch_projs(token[:, 0])[:, :, None, None]

    def _finished(self, residual: Tensor) -> Tensor:
        return residual.mean(dim=(2, 3), keepdim=True) if self.control.pools_globally else residual


class _KindEmbedding(nn.Module):
    """What time is shifted by: a yes for the kind shown, a no for all others. Keys: linear_1, linear_2."""

    def __init__(self, config: KindsConfig, time_width: int) -> None:
        super().__init__()
        self.config = config
        self.linear_1 = Linear(config.num_kinds * config.number_width, time_width)
        self.linear_2 = Linear(time_width, time_width)

    def forward(self, kind: int | None, like: Tensor) -> Tensor:
        """[1 time_width], of the dtype and device of `like`."""
        told = torch.zeros(self.config.num_kinds, device=like.device)
        if kind is not None:
            told[kind] = 1.0
        numbers = sinusoidal_embedding(told, self.config.number_width).flatten()[None].to(like.dtype)
        return self.linear_2(nn.functional.silu(self.linear_1(numbers)))


def _hint_block(channels: tuple[int, ...], width: int) -> nn.Sequential:
    """Convolutions over the picture; each size but the first is half the one before."""
    layers: list[nn.Module] = [Conv2d(channels[0], channels[1], 3, padding=1), nn.SiLU()]
    for small, large in pairwise(channels[1:]):
        layers += [Conv2d(small, small, 3, padding=1), nn.SiLU()]
        layers += [Conv2d(small, large, 3, padding=1, stride=2), nn.SiLU()]
    return nn.Sequential(*layers, Conv2d(channels[-1], width, 3, padding=1))
