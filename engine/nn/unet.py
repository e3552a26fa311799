"""The U-shaped denoising network of Stable Diffusion 1, 2 and XL, with the key names of the published files.

Source: Rombach et al. 2022, arXiv:2112.10752; Dhariwal & Nichol 2021, arXiv:2105.05233.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.nn.layers import Conv2d, GroupNorm
from engine.nn.residuals import NO_RESIDUALS, Residuals, added
from engine.nn.unet_encoder import Block, UNetConfig, UNetEncoder, Upsample

__all__ = ["UNet", "UNetConfig"]


class UNet(UNetEncoder):
    """Predicts noise (or v) for a noisy latent.

    Keys: time_embed, label_emb, input_blocks, middle_block, output_blocks, out.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        width = config.model_channels
        self.output_blocks = self._output_blocks(list(self.skip_channels))
        self.out = nn.Sequential(
            GroupNorm(config.num_groups, width), nn.SiLU(), Conv2d(width, config.out_channels, 3, padding=1)
        )

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor | None = None,
        vector: Tensor | None = None,
        residuals: Residuals = NO_RESIDUALS,
    ) -> Tensor:
        """x [b c h w], timesteps [b], context [b n d], vector [b k] → [b out_channels h w], in x's dtype.

        residuals: what control networks add between the blocks.
        """
        time = self.embed(timesteps, vector, x.dtype)
        skips: list[Tensor] = []
        for number, block in enumerate(self.input_blocks):
            x = added(block(x, time, context), residuals.inputs.get(number))
            skips.append(x)
        x = added(self.middle_block(x, time, context), residuals.middle)
        for block in self.output_blocks:
            skip = skips.pop()
            x = torch.cat([x, added(skip, residuals.skips.get(len(skips)))], dim=1)
            x = block(x, time, context, skips[-1].shape[2:] if skips else None)
        return self.out(x)

    def _output_blocks(self, skips: list[int]) -> nn.ModuleList:
        config = self.config
        blocks: list[nn.Module] = []
        channels = config.model_channels * config.channel_mult[-1]
        for level in reversed(range(len(config.channel_mult))):
            wanted = config.model_channels * config.channel_mult[level]
            for index, depth in enumerate(config.depths_up[level]):
                layers: list[nn.Module] = [self._res_block(channels + skips.pop(), wanted)]
                layers += self._attention(wanted, depth, level)
                if level and index == config.num_res_blocks:
                    layers.append(Upsample(wanted))
                blocks.append(Block(*layers))
                channels = wanted
        return nn.ModuleList(blocks)
