"""LPIPS, a learned distance between pictures that follows human judgement. Source: Zhang et al. 2018, arXiv:1801.03924.

Its weights are other people's (VGG-16 and five linear heads) and are not shipped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.core.errors import CheckpointError
from engine.nn.layers import Conv2d
from engine.weights.checkpoint import open_checkpoint

__all__ = ["PerceptualDistance", "load_perceptual_distance"]

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_CONVOLUTIONS = {
    1: ((0, 3, 64), (2, 64, 64)),
    2: ((5, 64, 128), (7, 128, 128)),
    3: ((10, 128, 256), (12, 256, 256), (14, 256, 256)),
    4: ((17, 256, 512), (19, 512, 512), (21, 512, 512)),
    5: ((24, 512, 512), (26, 512, 512), (28, 512, 512)),
}
"""Slice of VGG-16 → (number of the layer in the published file, channels in, channels out)."""

_PREFIX = "loss.perceptual_loss."
_REMEDY = (
    "Put VGG-16 (torchvision's `features.*` keys) and the LPIPS heads (`lin0.model.1.weight` …), or a published "
    "first-stage checkpoint that holds `loss.perceptual_loss.*`, at that path, or set perceptual_weight to 0."
)


class _Slice(nn.Module):
    """Some convolutions of VGG-16, after pooling except in the first; layers keep their published numbers."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.pools = number > 1
        for layer, channels, out_channels in _CONVOLUTIONS[number]:
            self.add_module(str(layer), Conv2d(channels, out_channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        if self.pools:
            x = functional.max_pool2d(x, 2)
        for layer in self.children():
            x = functional.relu(layer(x))
        return x


class _Head(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), Conv2d(channels, 1, 1, bias=False))


class PerceptualDistance(nn.Module):
    """Two pictures [b 3 h w] in [-1, 1] → distance of each pair [b]. Keys: net.sliceN.M, linN.model.1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Module()
        for number in _CONVOLUTIONS:
            self.net.add_module(f"slice{number}", _Slice(number))
            self.add_module(f"lin{number - 1}", _Head(_CONVOLUTIONS[number][-1][2]))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances; the gradient goes through both pictures."""
        features = torch.cat([self._scaled(first), self._scaled(second)])
        total = first.new_zeros(first.shape[0])
        for number, part in enumerate(self.net.children()):
            features = part(features)
            unit = features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
            one, two = unit.chunk(2)
            head = getattr(self, f"lin{number}").model
            total = total + head((one - two).square()).mean(dim=(1, 2, 3))
        return total

    def _scaled(self, pixels: Tensor) -> Tensor:
        shift, scale = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
        return (pixels - shift) / scale


def load_perceptual_distance(paths: Sequence[Path]) -> PerceptualDistance:
    """The distance with weights from one file or several, frozen.

    Raises CheckpointError when a file is missing, or when the files together lack a weight.
    """
    found: dict[str, Tensor] = {}
    for path in paths:
        if not path.exists():
            raise CheckpointError(f"The weights of the perceptual distance are not at {path}.", hint=_REMEDY)
        with open_checkpoint(path) as checkpoint:
            for key in checkpoint.shapes:
                name = _name(key.removeprefix(_PREFIX))
                if name is not None:
                    found[name] = checkpoint.tensor(key).float().clone()
    with torch.device("meta"):
        distance = PerceptualDistance()
    missing = [name for name in distance.state_dict() if name not in found]
    if missing:
        where = ", ".join(str(path) for path in paths)
        raise CheckpointError(f"{where} lacks {len(missing)} weights of LPIPS, first {missing[0]}.", hint=_REMEDY)
    distance.load_state_dict(found, assign=True)
    return distance.eval().requires_grad_(False)


def _name(key: str) -> str | None:
    """The network's name of a published key; None for keys of other things (the classifier, the scaling constants)."""
    plain = re.fullmatch(r"features\.(\d+)\.(weight|bias)", key)
    if plain is not None:
        for number, layers in _CONVOLUTIONS.items():
            if int(plain[1]) in [layer for layer, _, _ in layers]:
                return f"net.slice{number}.{plain[1]}.{plain[2]}"
        return None
    return key if re.fullmatch(r"net\.slice\d\.\d+\.(weight|bias)|lin\d\.model\.1\.weight", key) else None
