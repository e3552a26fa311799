"""What an edit may ask of the network it is applied to."""

from __future__ import annotations

from torch import nn

from engine.core.errors import NodeError
from engine.nn.unet import UNet

__all__ = ["require_unet"]


def require_unet(network: nn.Module) -> UNet:
    """The network, if it is a U-Net.

    Raises NodeError for another one.
    """
    if not isinstance(network, UNet):
        raise NodeError(
            f"This change of the model is made for U-Nets, not for a {type(network).__name__}.",
            code="edit_mismatch",
            hint="Take the node out, or use a Stable Diffusion 1, 2 or XL model.",
        )
    return network
