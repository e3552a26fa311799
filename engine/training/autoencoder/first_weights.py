"""First weights with which an autoencoder is a mosaic already: a latent cell holds the mean colour of its pixels.

From random weights, the first thousands of steps of a small autoencoder go into finding a way for colours through its
chain of norms. Here that way is laid: the first channels carry each colour, its opposite, and constants from end to
end, every other weight stays random, and residual branches begin at zero. The constants dominate the deviation of their
group, so that a norm divides colours by nearly the same number in every picture; colour and opposite make the
activation after it linear, since silu(x) - silu(-x) = x.
"""

from __future__ import annotations

import torch
from torch import nn

from engine.nn.autoencoder import Autoencoder

__all__ = ["lay_mosaic"]

_CONSTANT = 2.0
_COLOUR_MEAN_SQUARE = 0.25
"""Of pictures with pixels in [-1, 1]; a rough guess is enough."""
_LATENT_LOG_VARIANCE = -6.0
"""So that the posterior's noise does not drown colours that are of order one."""
_NUM_CARRIED = 16
"""Channel 4n holds colour n, 4n + 1 its opposite, the next two the constant and its opposite; the last four hold
constants alone, which fills the widest norm groups."""


@torch.no_grad()
def lay_mosaic(network: Autoencoder) -> None:
    """Overwrite first weights so that decoding an encoded picture gives the means of its cells.

    Raises ValueError for an autoencoder with fewer than three latent channels, or of pictures that are not RGB.
    """
    config = network.config
    if config.latent_channels < 3 or config.pixel_channels != 3:
        raise ValueError("a mosaic needs three colours in pixels and three channels in latents")
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        if name.endswith(".conv2"):
            nn.init.zeros_(layer.weight)
        elif name.endswith(".nin_shortcut"):
            _carry(layer, [(0, 0)])
        elif ".downsample." in name:
            _carry(layer, [(0, 0), (0, 1), (1, 0), (1, 1)])
        elif ".upsample." in name:
            _carry(layer, [(1, 1)])
    for half in (network.encoder, network.decoder):
        _begin(half.conv_in)
        _end(half.conv_out, half.norm_out.num_channels // half.norm_out.num_groups)
    if config.has_quant_convs:
        for layer in (network.quant_conv, network.post_quant_conv):
            _carry(layer, [(0, 0)], num=3)
    if config.codebook_size is None:
        last = network.quant_conv if config.has_quant_convs else network.encoder.conv_out
        assert last.bias is not None
        last.bias[config.latent_channels :] = _LATENT_LOG_VARIANCE


def _carry(layer: nn.Conv2d, taps: list[tuple[int, int]], num: int = _NUM_CARRIED) -> None:
    """The first channels become the mean of their own taps."""
    layer.weight[:num] = 0.0
    for y, x in taps:
        layer.weight[range(num), range(num), y, x] = 1.0 / len(taps)


def _begin(layer: nn.Conv2d) -> None:
    """Colours, their opposites and constants from the first three channels of the input."""
    assert layer.bias is not None
    layer.weight[:_NUM_CARRIED] = 0.0
    for channel in range(_NUM_CARRIED):
        sign = 1.0 if channel % 2 == 0 else -1.0
        if _is_colour(channel):
            layer.weight[channel, channel // 4, 1, 1] = sign
        else:
            layer.bias[channel] = sign * _CONSTANT


def _is_colour(channel: int) -> bool:
    return channel < 12 and channel % 4 < 2


def _end(layer: nn.Conv2d, group_size: int) -> None:
    """Colours again, after a norm in groups of this many channels and its activation."""
    layer.weight[:3] = 0.0
    for colour in range(3):
        first = 4 * colour // group_size * group_size
        group = range(first, min(first + group_size, _NUM_CARRIED))
        squares = [_COLOUR_MEAN_SQUARE if _is_colour(channel) else _CONSTANT**2 for channel in group]
        deviation = (sum(squares) / group_size) ** 0.5
        layer.weight[colour, 4 * colour, 1, 1] = deviation
        layer.weight[colour, 4 * colour + 1, 1, 1] = -deviation
