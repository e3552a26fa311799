"""The convolutional autoencoder of latent diffusion (KL and VQ forms), with the key names of the published files.

Source: Esser et al. 2021, arXiv:2012.09841; Rombach et al. 2022, arXiv:2112.10752, appendix G.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from engine.nn.attention import attend
from engine.nn.layers import Conv2d, GroupNorm
from engine.nn.vector_quantizer import VectorQuantizer

__all__ = ["Autoencoder", "AutoencoderConfig"]


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """Sizes: pixel channels, latent channels, base width, channels of each level in units of it, blocks a level.

    has_quant_convs: 1x1 convolutions between the latent and the two halves (SD1, SD2, SDXL have them, SD3 does not).
    codebook_size: entries of the codebook of the VQ form; None for the KL form, whose encoder gives mean and variance.
    attention_levels: levels whose blocks are each followed by attention. has_middle_attention: the middle has one too.
    """

    channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    latent_channels: int
    pixel_channels: int = 3
    has_quant_convs: bool = True
    codebook_size: int | None = None
    attention_levels: tuple[int, ...] = ()
    has_middle_attention: bool = True

    @property
    def num_groups(self) -> int:
        """Groups of the norms: 32 at the published width of 128, and of no fewer than four channels at smaller ones.

        Files do not tell it. With a channel to a group, a norm takes away what each channel says about a whole picture.
        """
        return min(32, max(1, self.channels // 4))

    @property
    def encoded_channels(self) -> int:
        """Channels the encoder gives: mean and log variance, or the latent alone."""
        return self.latent_channels * (2 if self.codebook_size is None else 1)

    @property
    def downscale(self) -> int:
        """Pixels per latent cell."""
        return 2 ** (len(self.channel_mult) - 1)


class _ResBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(num_groups, channels, eps=1e-6)
        self.conv1 = Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = GroupNorm(num_groups, out_channels, eps=1e-6)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1)
        if channels != out_channels:
            self.nin_shortcut = Conv2d(channels, out_channels, 1)
        self.has_shortcut = channels != out_channels

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(functional.silu(self.norm1(x), inplace=True))
        hidden = self.conv2(functional.silu(self.norm2(hidden), inplace=True))
        return (self.nin_shortcut(x) if self.has_shortcut else x) + hidden


class _Attention(nn.Module):
    """Attention of every cell to every cell, one head."""

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(num_groups, channels, eps=1e-6)
        self.q = Conv2d(channels, channels, 1)
        self.k = Conv2d(channels, channels, 1)
        self.v = Conv2d(channels, channels, 1)
        self.proj_out = Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        tokens = [layer(normed).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v)]
        mixed = attend(*tokens, num_heads=1).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.proj_out(mixed.contiguous())


class _Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


class _Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class _Middle(nn.Module):
    def __init__(self, channels: int, config: AutoencoderConfig) -> None:
        super().__init__()
        groups = config.num_groups
        self.block_1 = _ResBlock(channels, channels, groups)
        self.attn_1 = _Attention(channels, groups) if config.has_middle_attention else nn.Identity()
        self.block_2 = _ResBlock(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _Level(nn.Module):
    """Blocks of one resolution, each with attention or none has, and the change of resolution after them."""

    def __init__(self, blocks: list[nn.Module], attention: list[nn.Module], **resample: nn.Module) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        self.attn = nn.ModuleList(attention)
        self.resample_name = next(iter(resample), None)
        for name, module in resample.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        for number, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[number](x)
        return x if self.resample_name is None else getattr(self, self.resample_name)(x)


class _Encoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        channels = config.channels
        self.conv_in = Conv2d(config.pixel_channels, channels, 3, padding=1)
        levels = []
        for level, mult in enumerate(config.channel_mult):
            wanted = config.channels * mult
            blocks: list[nn.Module] = []
            for _ in range(config.num_res_blocks):
                blocks.append(_ResBlock(channels, wanted, config.num_groups))
                channels = wanted
            is_last = level == len(config.channel_mult) - 1
            resample: dict[str, nn.Module] = {} if is_last else {"downsample": _Downsample(channels)}
            levels.append(_Level(blocks, _attention(config, level, config.num_res_blocks), **resample))
        self.down = nn.ModuleList(levels)
        self.mid = _Middle(channels, config)
        self.norm_out = GroupNorm(config.num_groups, channels, eps=1e-6)
        self.conv_out = Conv2d(channels, config.encoded_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(functional.silu(self.norm_out(self.mid(x)), inplace=True))


class _Decoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        channels = config.channels * config.channel_mult[-1]
        self.conv_in = Conv2d(config.latent_channels, channels, 3, padding=1)
        self.mid = _Middle(channels, config)
        levels: list[nn.Module] = []
        for level in reversed(range(len(config.channel_mult))):
            wanted = config.channels * config.channel_mult[level]
            blocks: list[nn.Module] = []
            for _ in range(config.num_res_blocks + 1):
                blocks.append(_ResBlock(channels, wanted, config.num_groups))
                channels = wanted
            resample: dict[str, nn.Module] = {"upsample": _Upsample(channels)} if level else {}
            levels.insert(0, _Level(blocks, _attention(config, level, config.num_res_blocks + 1), **resample))
        self.up = nn.ModuleList(levels)
        self.norm_out = GroupNorm(config.num_groups, channels, eps=1e-6)
        self.conv_out = Conv2d(channels, config.pixel_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(functional.silu(self.norm_out(x), inplace=True))


def _attention(config: AutoencoderConfig, level: int, num_blocks: int) -> list[nn.Module]:
    if level not in config.attention_levels:
        return []
    return [_Attention(config.channels * config.channel_mult[level], config.num_groups) for _ in range(num_blocks)]


class Autoencoder(nn.Module):
    """Pixels in [-1, 1] ↔ latents. Keys: encoder, decoder, quant_conv, post_quant_conv, and quantize of the VQ form."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _Encoder(config)
        self.decoder = _Decoder(config)
        if config.has_quant_convs:
            self.quant_conv = Conv2d(config.encoded_channels, config.encoded_channels, 1)
            self.post_quant_conv = Conv2d(config.latent_channels, config.latent_channels, 1)
        if config.codebook_size is not None:
            self.quantize = VectorQuantizer(config.codebook_size, config.latent_channels)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [b 3 h w] → mean and log variance [b 2c h/f w/f]; in the VQ form the latent before it is quantized."""
        encoded = self.encoder(pixels)
        return self.quant_conv(encoded) if self.config.has_quant_convs else encoded

    def decode(self, latent: Tensor) -> Tensor:
        """Latent [b c h w] → pixels [b 3 hf wf]. The VQ form replaces each cell by its nearest codebook entry first."""
        if self.config.codebook_size is not None:
            latent = self.quantize(latent).quantized
        return self.decode_quantized(latent)

    def decode_quantized(self, latent: Tensor) -> Tensor:
        """As `decode`, for a latent that needs no quantizing."""
        return self.decoder(self.post_quant_conv(latent) if self.config.has_quant_convs else latent)
