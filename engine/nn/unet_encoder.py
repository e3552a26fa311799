"""The way down of the U-Net of Stable Diffusion 1, 2 and XL: its sizes, its blocks, and its first half.

Source: Rombach et al. 2022, arXiv:2112.10752; Dhariwal & Nichol 2021, arXiv:2105.05233.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from engine.nn.attention import SpatialTransformer
from engine.nn.embeddings import ClassTable, sinusoidal_embedding
from engine.nn.layers import Conv2d, GroupNorm, Linear

__all__ = ["Block", "Downsample", "ResBlock", "UNetConfig", "UNetEncoder", "Upsample"]


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Sizes of a U-Net.

    channel_mult: channels of each level, in units of model_channels. transformer_depth: transformer blocks in each
    spatial transformer of a level, 0 for none; middle_depth likewise. context_width: of the tokens attended to; 0 when
    there are none, transformers then attend to the picture alone. head_channels: width of one attention head, or None
    for a fixed num_heads. vector_width: width of the pooled vector added to the time embedding, None for none.

    Pruned networks have fewer transformer blocks in some places: `block_depths` gives those of each residual block on
    the way down, `output_depths` on the way up, both by level and in the order they are run within it. `middle_parts`:
    residual blocks in the middle, 2 with the transformer between them, 1 alone or 0.

    num_classes: rows of a table that is added to the time embedding in the place of a mapped vector; the vector then
    holds a weight for each class. outward_levels: levels whose transformers attend to the context alone.

    guidance_width: numbers at the end of the vector that say how strong the guidance is that a network was distilled
    with, None for networks that are guided from outside.
    """

    in_channels: int
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    transformer_depth: tuple[int, ...]
    middle_depth: int
    context_width: int
    num_heads: int = 8
    head_channels: int | None = None
    uses_linear: bool = False
    vector_width: int | None = None
    block_depths: tuple[tuple[int, ...], ...] | None = None
    output_depths: tuple[tuple[int, ...], ...] | None = None
    middle_parts: int = 2
    num_classes: int | None = None
    outward_levels: tuple[int, ...] = ()
    guidance_width: int | None = None

    @property
    def num_groups(self) -> int:
        """Groups of the norms: 32 at published widths (128 and more), and of no fewer than four channels below.

        Files do not tell it. With few channels to a group, a norm takes away what each says about a whole picture.
        """
        return min(32, max(1, self.model_channels // 4))

    def heads(self, channels: int) -> int:
        """Attention heads at a width."""
        return self.num_heads if self.head_channels is None else max(1, channels // self.head_channels)

    @property
    def depths_down(self) -> tuple[tuple[int, ...], ...]:
        """Transformer blocks behind each residual block on the way down, by level."""
        return self.block_depths or tuple((depth,) * self.num_res_blocks for depth in self.transformer_depth)

    @property
    def depths_up(self) -> tuple[tuple[int, ...], ...]:
        """Transformer blocks behind each residual block on the way up, by level (0 is the finest)."""
        return self.output_depths or tuple((depth,) * (self.num_res_blocks + 1) for depth in self.transformer_depth)


class TimeEmbedding(nn.Sequential):
    """What residual blocks are shifted by, from sines and cosines of the training step.

    Keys: 0, 2, and cond_proj of networks that are told their guidance, which is added to the step. Source: Meng et al.
    2023, arXiv:2210.03142, section 3.1.
    """

    def __init__(self, width: int, out_width: int, guidance_width: int | None) -> None:
        super().__init__(Linear(width, out_width), nn.SiLU(), Linear(out_width, out_width))
        if guidance_width is not None:
            self.cond_proj = Linear(guidance_width, width, bias=False)

    def forward(self, steps: Tensor, guidance: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """steps [b width], guidance [b guidance_width] → [b out_width]."""
        if guidance is not None:
            steps = steps + self.cond_proj(guidance)
        return self[2](self[1](self[0](steps)))


class ResBlock(nn.Module):
    """Two convolutions with a residual, shifted by the time embedding between them."""

    def __init__(self, channels: int, time_width: int, out_channels: int, num_groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            GroupNorm(num_groups, channels), nn.SiLU(), Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), Linear(time_width, out_channels))
        self.out_layers = nn.Sequential(
            GroupNorm(num_groups, out_channels),
            nn.SiLU(),
            nn.Identity(),
            Conv2d(out_channels, out_channels, 3, padding=1),
        )
        is_same = channels == out_channels
        self.skip_connection = nn.Identity() if is_same else Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [b c h w], time [b k] → [b out_channels h w]."""
        hidden = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(hidden)


class Downsample(nn.Module):
    """Halve height and width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] → [b c h/2 w/2]."""
        return self.op(x)


class Upsample(nn.Module):
    """Grow to a given size by nearest neighbours, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """x [b c h w] → [b c *size]."""
        return self.conv(functional.interpolate(x, size=tuple(size), mode="nearest"))


class Block(nn.Sequential):
    """Layers of one block; each is given what it takes beside the feature map."""

    recomputes = False

    def forward(self, x: Tensor, time: Tensor, context: Tensor | None, size: torch.Size | None = None) -> Tensor:  # type: ignore[override]
        """x [b c h w], time [b k], context [b n d]; size of the map an enlargement is to give."""
        if self.recomputes and torch.is_grad_enabled():
            return checkpoint(self._apply_layers, x, time, context, size, use_reentrant=False)
        return self._apply_layers(x, time, context, size)

    def _apply_layers(self, x: Tensor, time: Tensor, context: Tensor | None, size: torch.Size | None) -> Tensor:
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, time)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            elif isinstance(layer, Upsample):
                x = layer(x, size)
            else:
                x = layer(x)
        return x


class UNetEncoder(nn.Module):
    """Time and picture to feature maps of falling size: the half of a U-Net that control networks copy.

    Keys: time_embed, label_emb, input_blocks, middle_block.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.model_channels
        self.time_width = 4 * width
        self.time_embed = TimeEmbedding(width, self.time_width, config.guidance_width)
        if config.num_classes is not None:
            self.label_emb = ClassTable(config.num_classes, self.time_width)
        elif config.vector_width is not None:
            self.label_emb = nn.Sequential(
                nn.Sequential(
                    Linear(config.vector_width, self.time_width),
                    nn.SiLU(),
                    Linear(self.time_width, self.time_width),
                )
            )
        self.input_blocks, self.skip_channels = self._input_blocks()
        self.middle_block = Block(*self._middle_layers(width * config.channel_mult[-1]))

    def embed(self, timesteps: Tensor, vector: Tensor | None, dtype: torch.dtype) -> Tensor:
        """timesteps [b] and vector [b k] as what every residual block is shifted by, [b time_width].

        What a vector holds beyond the labels this network takes, and its guidance, is for another network.
        """
        config = self.config
        steps = sinusoidal_embedding(timesteps, config.model_channels).to(dtype)
        num_labels = config.vector_width or config.num_classes or 0
        if vector is None or not (num_labels or config.guidance_width):
            return self.time_embed(steps)
        guidance = None if config.guidance_width is None else vector[:, -config.guidance_width :]
        time = self.time_embed(steps, guidance)
        return time + self.label_emb(vector[:, :num_labels]) if num_labels else time

    def recompute_activations(self) -> None:
        """In training, compute each block's activations again on the way back instead of keeping them.

        Source: Chen et al. 2016, arXiv:1604.06174.
        """
        for block in self.modules():
            if isinstance(block, Block):
                block.recomputes = True

    def _res_block(self, channels: int, out_channels: int) -> ResBlock:
        return ResBlock(channels, self.time_width, out_channels, self.config.num_groups)

    def _attention(self, channels: int, depth: int, level: int | None = None) -> list[nn.Module]:
        """level: None in the middle."""
        if not depth:
            return []
        config = self.config
        context_width = config.context_width or channels
        return [
            SpatialTransformer(
                channels,
                context_width,
                config.heads(channels),
                depth,
                uses_linear=config.uses_linear,
                num_groups=config.num_groups,
                attends_itself=level not in config.outward_levels,
            )
        ]

    def _middle_layers(self, channels: int) -> list[nn.Module]:
        parts = self.config.middle_parts
        layers: list[nn.Module] = [self._res_block(channels, channels)] if parts else []
        if parts == 2:
            layers += [*self._attention(channels, self.config.middle_depth)]
            layers.append(self._res_block(channels, channels))
        return layers

    def _input_blocks(self) -> tuple[nn.ModuleList, list[int]]:
        """The blocks, and the channels each leaves for the way up."""
        config = self.config
        channels = config.model_channels
        blocks = [Block(Conv2d(config.in_channels, channels, 3, padding=1))]
        skips = [channels]
        last = len(config.channel_mult) - 1
        for level, mult in enumerate(config.channel_mult):
            for depth in config.depths_down[level]:
                wanted = mult * config.model_channels
                attention = self._attention(wanted, depth, level)
                blocks.append(Block(self._res_block(channels, wanted), *attention))
                channels = wanted
                skips.append(channels)
            if level != last:
                blocks.append(Block(Downsample(channels)))
                skips.append(channels)
        return nn.ModuleList(blocks), skips
