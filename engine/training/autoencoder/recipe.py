"""The recipe of an autoencoder: sizes, loss, crops."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from engine.nn.autoencoder import AutoencoderConfig
from engine.training.autoencoder.loss import AutoencoderLossRecipe
from engine.training.context import BuildContext
from engine.training.crops import CropRecipe

if TYPE_CHECKING:
    from engine.training.autoencoder.module import AutoencoderModule

__all__ = ["AutoencoderRecipe"]


@dataclass(frozen=True, slots=True)
class AutoencoderRecipe:
    """Sizes as in `engine.nn.autoencoder.AutoencoderConfig`; with a codebook_size it is the VQ form, without one KL.

    first_weights: "random", or "mosaic": the mean colours of cells pass from the first step on
        (`engine.training.autoencoder.first_weights`), which saves a small autoencoder thousands of steps.
    crops: which parts of the pictures are learned from; none for whole pictures.
    """

    kind: Literal["autoencoder"]
    channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    latent_channels: int
    codebook_size: int | None = None
    attention_levels: tuple[int, ...] = ()
    has_middle_attention: bool = True
    has_quant_convs: bool = True
    loss: AutoencoderLossRecipe = field(default_factory=AutoencoderLossRecipe)
    first_weights: Literal["random", "mosaic"] = "random"
    crops: tuple[CropRecipe, ...] = ()
    input_key: str = "image"

    def __post_init__(self) -> None:
        if self.channels < 1 or self.channels % 16:
            raise ValueError("channels must be a multiple of 16")
        if not self.channel_mult or min(self.channel_mult) < 1:
            raise ValueError("channel_mult needs a positive number for each level")
        if self.first_weights == "mosaic" and self.latent_channels < 3:
            raise ValueError("a mosaic of colours needs at least three latent_channels")
        for crop in self.crops:
            if crop.size % self.config.downscale:
                raise ValueError(f"crops of {crop.size} are no whole cells of {self.config.downscale} pixels")

    @property
    def config(self) -> AutoencoderConfig:
        """The sizes."""
        return AutoencoderConfig(
            channels=self.channels,
            channel_mult=self.channel_mult,
            num_res_blocks=self.num_res_blocks,
            latent_channels=self.latent_channels,
            has_quant_convs=self.has_quant_convs,
            codebook_size=self.codebook_size,
            attention_levels=self.attention_levels,
            has_middle_attention=self.has_middle_attention,
        )

    def build(self, context: BuildContext) -> AutoencoderModule:
        """The module with its first weights. Raises CheckpointError without a wanted perceptual distance's weights."""
        from engine.training.autoencoder.module import AutoencoderModule

        return AutoencoderModule(self, context)
