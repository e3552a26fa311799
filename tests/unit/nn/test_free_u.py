"""FreeU, both versions, against the published code's formula on the way up of a small U-Net."""

from __future__ import annotations

import warnings

import pytest
import torch

from engine.nn.edits.free_u import FreeU
from engine.nn.unet import UNet, UNetConfig
from tests.tiny_families import random_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers.utils.torch_utils import fourier_filter

CONFIG = UNetConfig(4, 4, 8, (1, 2, 4), 1, (0, 0, 1), 1, 24, num_heads=2)
BACKBONE, SKIP = (1.3, 1.4), (0.9, 0.2)


def network() -> UNet:
    torch.manual_seed(0)
    unet = UNet(CONFIG)
    unet.load_state_dict(random_weights(unet))
    return unet.eval().requires_grad_(False)


def published(unet: UNet, x: torch.Tensor, steps: torch.Tensor, context: torch.Tensor, version: int) -> torch.Tensor:
    """The network's forward with the published code's lines before each block on the way up."""
    time = unet.embed(steps, None, x.dtype)
    skips = []
    for block in unet.input_blocks:
        x = block(x, time, context)
        skips.append(x)
    x = unet.middle_block(x, time, context)
    for block in unet.output_blocks:
        skip = skips.pop()
        for width, backbone, factor in ((32, BACKBONE[0], SKIP[0]), (16, BACKBONE[1], SKIP[1])):
            if x.shape[1] != width:
                continue
            scale: float | torch.Tensor = backbone
            if version == 2:
                mean = x.mean(1).unsqueeze(1)
                low = mean.view(len(x), -1).min(dim=-1).values.view(-1, 1, 1, 1)
                high = mean.view(len(x), -1).max(dim=-1).values.view(-1, 1, 1, 1)
                scale = (backbone - 1) * (mean - low) / (high - low) + 1
            x = torch.cat([x[:, : width // 2] * scale, x[:, width // 2 :]], dim=1)
            skip = fourier_filter(skip, threshold=1, scale=factor)
            break
        x = block(torch.cat([x, skip], dim=1), time, context, skips[-1].shape[2:] if skips else None)
    return unet.out(x)


@pytest.mark.parametrize("version", [1, 2])
def test_a_network_with_free_u_computes_what_the_published_code_computes(version: int) -> None:
    unet = network()
    x, steps, context = torch.randn(2, 4, 16, 24), torch.tensor([900.0, 40.0]), torch.randn(2, 5, 24)
    wanted = published(unet, x, steps, context, version)
    with FreeU(BACKBONE, SKIP, follows_structure=version == 2).applied(unet):
        found = unet(x, steps, context)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5
    assert float((unet(x, steps, context) - wanted).norm() / wanted.norm()) > 1e-2
