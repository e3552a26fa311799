"""The U-Net of Stable Diffusion 1, 2 and XL as a network to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from engine.diffusion.condition_inputs import ConditionInputs
from engine.nn.unet import UNet, UNetConfig
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.networks.initialisation import initialise

__all__ = ["UNetRecipe"]


@dataclass(frozen=True, slots=True)
class UNetRecipe:
    """Sizes as in `engine.nn.unet.UNetConfig`; with context_width 0 transformers attend to the picture alone.

    in_channels counts what embedders concatenate. uses_checkpointing: compute activations again on the way back
    instead of keeping them, a third more time for a fraction of the memory.
    """

    kind: Literal["unet"]
    in_channels: int
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    transformer_depth: tuple[int, ...]
    middle_depth: int = 1
    context_width: int = 0
    num_heads: int = 8
    head_channels: int | None = None
    uses_linear: bool = False
    vector_width: int | None = None
    uses_checkpointing: bool = False

    def __post_init__(self) -> None:
        if len(self.transformer_depth) != len(self.channel_mult):
            raise ValueError("transformer_depth and channel_mult need one number for each level")
        if self.model_channels % 32:
            raise ValueError("model_channels must be a multiple of 32, the number of groups of its norms")

    @property
    def config(self) -> UNetConfig:
        """The sizes."""
        return UNetConfig(
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            model_channels=self.model_channels,
            channel_mult=self.channel_mult,
            num_res_blocks=self.num_res_blocks,
            transformer_depth=self.transformer_depth,
            middle_depth=self.middle_depth,
            context_width=self.context_width,
            num_heads=self.num_heads,
            head_channels=self.head_channels,
            uses_linear=self.uses_linear,
            vector_width=self.vector_width,
        )

    def build(self, context: BuildContext) -> nn.Module:
        """The network with its first weights."""
        network = UNet(self.config)
        initialise(network, context.seed, "network")
        if self.uses_checkpointing:
            network.recompute_activations()
        return network

    def call(self, module: nn.Module, x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Tensor:
        """Predict for x [b c h w] at c_noise [b]. Raises ConfigError when the inputs are not those of these sizes."""
        if inputs.concat is not None:
            x = torch.cat([x, inputs.concat.to(x.dtype)], dim=1)
        for name, tensor, wanted in (
            ("context", inputs.context, self.context_width),
            ("vector", inputs.vector, self.vector_width or 0),
        ):
            given = 0 if tensor is None else tensor.shape[-1]
            if given != wanted:
                raise ConfigError(
                    f"The embedders make a {name} of width {given}, the network takes {wanted}.",
                    hint=f"Set model.network.{name}_width={given}, or change the embedders.",
                )
        if x.shape[1] != self.in_channels:
            raise ConfigError(
                f"The network takes {self.in_channels} channels, the data and embedders give {x.shape[1]}.",
                hint=f"Set model.network.in_channels={x.shape[1]}, or change the data.",
            )
        return module(x, c_noise, inputs.context, inputs.vector)
