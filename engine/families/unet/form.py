"""The inputs and the call of a U-Net, for text to image, inpainting and instructed editing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.core.errors import NodeError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.latent_format import LatentFormat
from engine.families.adapters.unet_names import unet_module_names
from engine.families.unet.grey import GreyPicture
from engine.families.unet.guidance import with_guidance
from engine.nn.residuals import NO_RESIDUALS, Residuals
from engine.nn.unet import UNet, UNetConfig

__all__ = ["UNET_KINDS", "UNET_SUFFIXES", "ConcatForm", "UNetForm", "VectorForm", "fitted"]

_INPAINTING_CHANNELS = 9
_EDITING_CHANNELS = 8
UNET_KINDS: Mapping[int, str] = {
    4: "text to image",
    _EDITING_CHANNELS: "instructed editing",
    _INPAINTING_CHANNELS: "inpainting",
}
"""What a U-Net of so many input channels is for."""

UNET_SUFFIXES: Mapping[int, str] = {4: "", _EDITING_CHANNELS: "-edit", _INPAINTING_CHANNELS: "-inpainting"}
"""What ModelSpec's names of such networks end with."""


class VectorForm(Protocol):
    """How conditioning becomes the vector that is added to the time embedding."""

    def vector(self, entry: ConditioningEntry, latent: Tensor) -> Tensor:
        """[1|b k] float32 for a latent [b c h w]. Raises NodeError when the entry lacks something."""
        ...


class ConcatForm(Protocol):
    """What a network sees beside the noisy latent, for families that do not have it from the kinds above."""

    def concat(self, entry: ConditioningEntry, latent: Tensor) -> Tensor:
        """[1|b c h w] for a latent [b c h w]. Raises NodeError when the entry lacks something."""
        ...


@dataclass(frozen=True, slots=True)
class UNetForm:
    """Inputs and call of the U-Net.

    vector_form: how the vector is made, None for networks without one. shows_scaled: whether an editing network sees
    the picture to edit at network scale instead of the autoencoder's own. grey: what an inpainting network is shown
    where nothing is known; None where no file tells how grey looks in the latents it was trained on. concat_form: how
    further channels are made, None where their number tells.
    """

    config: UNetConfig
    latent_format: LatentFormat
    vector_form: VectorForm | None = None
    shows_scaled: bool = False
    grey: GreyPicture | None = None
    concat_form: ConcatForm | None = None

    @property
    def in_channels(self) -> int:
        """4 for text to image, 8 for instructed editing, 9 for inpainting."""
        return self.config.in_channels

    @property
    def is_inpainting(self) -> bool:
        """Whether the network sees a mask and the picture around it."""
        return self.in_channels == _INPAINTING_CHANNELS

    @property
    def context_width(self) -> int:
        """Width of the text encoder's output."""
        return self.config.context_width

    def build(self) -> nn.Module:
        """The network."""
        return UNet(self.config)

    def condition(self, entry: ConditioningEntry, latent: Tensor, noise_mask: Tensor | None) -> ConditionInputs:
        """The text, the vector, and for the two variants the channels they see beside the noisy latent.

        Networks that are told their guidance have it at the end of the vector.

        Raises NodeError for a context of another width.
        """
        context = entry.context
        if context.ndim != 3 or context.shape[2] != self.context_width:
            raise NodeError(
                f"This model takes text of width {self.context_width}, got {list(context.shape)}.",
                code="context_mismatch",
                hint="Encode the text with the CLIP of the same checkpoint.",
            )
        vector = None if self.vector_form is None else self.vector_form.vector(entry, latent)
        if self.config.guidance_width is not None:
            vector = with_guidance(vector, entry, self.config.guidance_width)
        return ConditionInputs(context=context, vector=vector, concat=self._concat(entry, latent, noise_mask))

    def call(
        self,
        module: nn.Module,
        x: Tensor,
        c_noise: Tensor,
        inputs: ConditionInputs,
        residuals: Residuals = NO_RESIDUALS,
    ) -> Tensor:
        """Predict for x [b 4 h w] at noise levels the network is told as c_noise [b]."""
        if inputs.concat is not None:
            x = torch.cat([x, inputs.concat], dim=1)
        return module(x, c_noise, inputs.context, inputs.vector, residuals)

    def adapter_modules(self, modules: Iterable[str]) -> Mapping[str, str]:
        """Names of published files and of diffusers."""
        return unet_module_names(self.config, modules)

    def activation_bytes(self, batch_size: int, height: int, width: int, bytes_per_value: int) -> int:
        """Skips of all levels, and the widest maps of the first (concatenated input, two halves of the gate)."""
        config = self.config
        cells = batch_size * height * width
        skips = sum(config.num_res_blocks * mult * cells / 4**level for level, mult in enumerate(config.channel_mult))
        return int(config.model_channels * (skips + 20 * cells) * bytes_per_value)

    def _concat(self, entry: ConditioningEntry, latent: Tensor, noise_mask: Tensor | None) -> Tensor | None:
        if self.concat_form is not None:
            return self.concat_form.concat(entry, latent)
        if self.is_inpainting:
            return self._inpainting_channels(entry, latent, noise_mask)
        if self.in_channels == _EDITING_CHANNELS:
            given = entry.extras.get("concat_latent_image")
            if given is None:
                return torch.zeros_like(latent)
            return fitted(self.latent_format.to_network(given) if self.shows_scaled else given, latent)
        return None

    def _inpainting_channels(self, entry: ConditioningEntry, latent: Tensor, noise_mask: Tensor | None) -> Tensor:
        """[b 5 h w]: mask (1 where the picture is to be made), then the masked picture's latent at network scale."""
        mask = entry.extras.get("concat_mask", noise_mask)
        if mask is None:
            return torch.cat([torch.ones_like(latent[:, :1]), self._grey(latent)], dim=1)
        given = entry.extras.get("concat_latent_image")
        picture = latent if given is None else fitted(self.latent_format.to_network(given), latent)
        mask = mask[:, :1] if mask.ndim == 4 else mask.reshape(-1, 1, *mask.shape[-2:])
        return torch.cat([fitted(mask, latent).round(), picture], dim=1)

    def _grey(self, latent: Tensor) -> Tensor:
        """A grey picture of the latent's shape. Raises NodeError where its latent is not known."""
        if self.grey is None:
            raise NodeError(
                "This inpainting model is sampled without a mask, and its file does not hold the autoencoder that "
                "would tell how an empty picture looks to it.",
                code="no_mask",
                hint="Show it a picture and a mask with InpaintModelConditioning, or open the checkpoint whole.",
            )
        return fitted(self.grey.latent(*latent.shape[2:]), latent)


def fitted(tensor: Tensor, latent: Tensor) -> Tensor:
    """Scale [n c h w] to the latent's height and width, cutting centrally what its shape has not, and to its batch."""
    tensor = tensor.to(latent)
    height, width = latent.shape[2:]
    if tensor.shape[2:] != latent.shape[2:]:
        old_height, old_width = tensor.shape[2:]
        cut_x = round((old_width - old_height * width / height) / 2) if old_width * height > old_height * width else 0
        cut_y = round((old_height - old_width * height / width) / 2) if old_width * height < old_height * width else 0
        tensor = tensor[:, :, cut_y : old_height - cut_y, cut_x : old_width - cut_x]
        tensor = functional.interpolate(tensor, size=(height, width), mode="bilinear")
    repeats = -(-latent.shape[0] // tensor.shape[0])
    return tensor.repeat(repeats, 1, 1, 1)[: latent.shape[0]]
