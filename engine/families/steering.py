"""What steers a model's prediction beside its text: controls and phrases, bound to the model and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.errors import NodeError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.controls import ControlSignal, ControlUse, GroundingSignal
from engine.memory.network import NetworkSource
from engine.nn.edits.grounded_attention import GroundedAttention
from engine.nn.residuals import NO_RESIDUALS, Residuals, sum_residuals
from engine.nn.unet import UNetConfig

__all__ = [
    "bound_controls",
    "bound_grounding",
    "call_steered",
    "grounded",
    "residual_values",
    "run_controls",
    "unet_sizes",
]

_OWN_TEXT = "cross_attn_controlnet"
"""Key of conditioning: tokens for control networks in the place of the prediction's own."""


def unet_sizes(denoiser: Any, what: str) -> UNetConfig:
    """Sizes of a model's U-Net. Raises NodeError for a model that is none; `what` names the network that asks."""
    config = getattr(getattr(denoiser, "form", None), "config", None)
    if not isinstance(config, UNetConfig):
        raise NodeError(
            f"A {what} steers U-Nets; this model has none.",
            code="control_mismatch",
            hint="Use a Stable Diffusion 1, 2 or XL model.",
        )
    return config


def bound_controls(denoiser: Any, entry: ConditioningEntry, latent: Tensor) -> tuple[ControlSignal, ...]:
    """The controls of an entry for a latent [b c h w]; those of strength 0 are left out.

    Raises NodeError for a control made for another kind of model.
    """
    text = entry.extras.get(_OWN_TEXT)
    return tuple(_bound(denoiser, use, latent, text) for use in entry.controls if use.strength != 0)


def bound_grounding(denoiser: Any, entry: ConditioningEntry, latent: Tensor) -> GroundingSignal | None:
    """The phrases of an entry as objects, or None. Raises NodeError for a network made for another kind of model."""
    if entry.grounding is None:
        return None
    network = entry.grounding.handle.bound_to(denoiser)
    return GroundingSignal(network, network.objects(entry.grounding.phrases, *latent.shape[-2:]))


def run_controls(inputs: ConditionInputs, x: Tensor, c_noise: Tensor) -> Residuals:
    """What all controls of a forward add together, each at its strength."""
    if not inputs.controls:
        return NO_RESIDUALS
    return sum_residuals(_run(signal, x, c_noise, inputs) for signal in inputs.controls)


def call_steered(
    form: Any, module: nn.Module, x: Tensor, c_noise: Tensor, inputs: ConditionInputs, residuals: Residuals
) -> Tensor:
    """One forward by a network's form; only those of U-Nets are given residuals, and only when there are controls."""
    if inputs.controls:
        return form.call(module, x, c_noise, inputs, residuals)
    return form.call(module, x, c_noise, inputs)


def grounded(inputs: ConditionInputs, source: NetworkSource) -> tuple[NetworkSource, tuple[GroundedAttention, ...]]:
    """The network a forward runs, with its gated attention if there is grounding, and what uses that."""
    if inputs.grounding is None:
        return source, ()
    network: Any = inputs.grounding.network
    return network.extended(source), (GroundedAttention(inputs.grounding.objects),)


def residual_values(denoiser: Any, inputs: ConditionInputs) -> int:
    """Numbers that residuals hold for each cell of the latent while the model runs: a map for each skip."""
    if not inputs.controls:
        return 0
    config = unet_sizes(denoiser, "control")
    per_level = (config.num_res_blocks + 1) * config.model_channels
    return round(sum(per_level * mult / 4**level for level, mult in enumerate(config.channel_mult)))


def _bound(denoiser: Any, use: ControlUse, latent: Tensor, text: Tensor | None) -> ControlSignal:
    num_items, (height, width) = latent.shape[0], latent.shape[-2:]
    table = denoiser.parameterization.sigma_table
    image = use.image if use.image.shape[0] == 1 else _dealt(use.image, num_items)
    network = use.handle.bound_to(denoiser)
    return ControlSignal(
        network,
        network.prepare(image, height, width),
        torch.tensor([use.strength]),
        table.sigma_at_fraction(use.start_fraction),
        table.sigma_at_fraction(use.end_fraction),
        image,
        text,
    )


def _dealt(images: Tensor, num_items: int) -> Tensor:
    """One picture for each item of a batch, from the first again when there are too few."""
    repeats = -(-num_items // images.shape[0])
    return images.repeat(repeats, 1, 1, 1)[:num_items]


def _run(signal: ControlSignal, x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Residuals:
    network: Any = signal.network
    given = inputs if signal.context is None else replace(inputs, context=signal.context)
    found: Residuals = network.residuals(signal.hints, x, c_noise, given)
    strength = signal.strength.to(x.device).view(-1, 1, 1, 1)

    def scaled(maps: Mapping[int, Tensor]) -> dict[int, Tensor]:
        return {number: (residual * strength).to(x.dtype) for number, residual in maps.items()}

    middle = None if found.middle is None else (found.middle * strength).to(x.dtype)
    return Residuals(scaled(found.inputs), scaled(found.skips), middle)
