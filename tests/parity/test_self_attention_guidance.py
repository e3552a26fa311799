"""Self-attention guidance against its published pipeline, written out in its own scale around diffusers' network.

diffusers carried the pipeline until version 0.30 (`StableDiffusionSAGPipeline`, Apache-2.0). Its steps are: the clean
picture and the noise of the negative side; where the middle block's first self-attention pays more than an even share,
that picture blurred; the same noise on it again; guidance away from what the network predicts there.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.requests import drive
from engine.nn.unet import UNetConfig
from nodes.model_edits import self_attention_guidance
from tests.tiny_sd1 import host_with, store_on

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import UNet2DConditionModel

STEP, SCALE, GUIDANCE = 400, 0.75, 4.0
SIDES = torch.randn(2, 5, 768, generator=torch.Generator().manual_seed(2))
"""Context of the negative side, then of the positive one."""
RADIUS, HEADS = 4, 8


def network() -> UNet2DConditionModel:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unet = UNet2DConditionModel(
            sample_size=16, block_out_channels=[32, 64], layers_per_block=1, attention_head_dim=HEADS,
            down_block_types=["CrossAttnDownBlock2D"] * 2, up_block_types=["CrossAttnUpBlock2D"] * 2,
            cross_attention_dim=768, norm_num_groups=UNetConfig(4, 4, 32, (1, 2), 1, (1, 1), 1, 768).num_groups,
        )  # fmt: skip
    return unet.eval().requires_grad_(False)


class Published:
    """The pipeline's step: `noise(sample, guidance)` is the noise it takes out of a sample of unit variance."""

    def __init__(self, unet: UNet2DConditionModel, clean_share: float, blur_sigma: float) -> None:
        self.unet, self.clean_share, self.blur_sigma = unet, clean_share, blur_sigma
        self.mask = np.zeros(())
        self._seen: dict[str, np.ndarray] = {}
        self._size = (0, 0)
        transformer = unet.mid_block.attentions[0]
        transformer.register_forward_hook(self._measure)
        for name in ("to_q", "to_k"):
            part = getattr(transformer.transformer_blocks[0].attn1, name)
            part.register_forward_hook(lambda _, __, output, name=name: self._seen.update({name: output[0].numpy()}))

    def _measure(self, _: object, arguments: tuple[torch.Tensor, ...], __: object) -> None:
        self._size = tuple(arguments[0].shape[2:])

    def noise(self, sample: np.ndarray, guidance: float | None) -> np.ndarray:
        positive = None if guidance is None else self._ask(sample, SIDES[1:])
        # The last forward is the one whose attention counts: the negative side's, or the only one's.
        negative = self._ask(sample, SIDES[:1] if guidance is not None else SIDES[1:])
        clean = (sample - (1 - self.clean_share) ** 0.5 * negative) / self.clean_share**0.5
        degraded = self.degraded(clean, self._seen["to_q"], self._seen["to_k"], self._size)
        again = self.clean_share**0.5 * degraded + (1 - self.clean_share) ** 0.5 * negative
        guided = negative if guidance is None else negative + guidance * (positive - negative)
        return guided + SCALE * (negative - self._ask(again, SIDES[:1] if guidance is not None else SIDES[1:]))

    def _ask(self, sample: np.ndarray, context: torch.Tensor) -> np.ndarray:
        x = torch.from_numpy(sample).float()[None]
        return self.unet(x, torch.tensor([STEP]), context).sample[0].numpy()

    def degraded(self, clean: np.ndarray, query: np.ndarray, key: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """[c h w] with the attended places blurred; queries and keys [n heads·d] of a map of this size."""
        heads = [part.reshape(len(part), HEADS, -1).transpose(1, 0, 2) for part in (query, key)]
        logits = heads[0] @ heads[1].transpose(0, 2, 1) / heads[0].shape[-1] ** 0.5
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        attended = (weights.mean(0).sum(0) > 1.0).reshape(size)
        self.mask = attended.repeat(clean.shape[1] // size[0], 0).repeat(clean.shape[2] // size[1], 1)
        line = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / self.blur_sigma) ** 2)
        kernel = np.outer(line, line) / line.sum() ** 2
        wide = np.pad(clean, ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(wide, kernel.shape, (1, 2))
        return np.where(self.mask, (windows * kernel).sum((-2, -1)), clean)


@pytest.mark.parametrize("guidance", [GUIDANCE, None], ids=["with guidance", "alone"])
@pytest.mark.parametrize(("size", "blur_sigma"), [((16, 16), 1.0), ((16, 24), 2.5)])
def test_self_attention_guidance_is_that_of_its_published_pipeline(
    tmp_path: Path, guidance: float | None, size: tuple[int, int], blur_sigma: float
) -> None:
    theirs = network()
    save_file(theirs.state_dict(), tmp_path / "unet.safetensors")
    model = store_on(host_with()).open_diffusion_model(tmp_path / "unet.safetensors")
    sigma = float(model.parameterization.sigma_table.sigmas[STEP])
    clean_share = 1 / (1 + sigma**2)
    sample = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    published = Published(theirs, clean_share, blur_sigma)
    noise = published.noise(sample[0].numpy(), guidance)
    expected = (sample[0].numpy() - (1 - clean_share) ** 0.5 * noise) / clean_share**0.5
    assert 0 < published.mask.mean() < 1

    handle = self_attention_guidance(model, SCALE, blur_sigma)
    negative, positive = ((ConditioningEntry(context=side[None]),) for side in SIDES)
    guider = Basic(handle, positive) if guidance is None else Cfg(handle, positive, negative, guidance)
    x = (sample / clean_share**0.5).float()
    found = drive(guider.bind(x, None)(x, sigma)).denoised
    assert np.linalg.norm(found[0].numpy() - expected) / np.linalg.norm(expected) < 1e-4
