"""A frozen U-Net with a control network beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from engine.diffusion.condition_inputs import ConditionInputs
from engine.families.unet.form import UNetForm
from engine.nn.control_net import ControlNet, ControlNetConfig
from engine.training.config.error import ConfigError
from engine.training.networks.initialisation import initialise

__all__ = ["ControlledCall", "ControlledNetwork", "copied_control"]


class ControlledNetwork(nn.Module):
    """Keys: base.…, control.…"""

    def __init__(self, base: nn.Module, control: ControlNet) -> None:
        super().__init__()
        self.base = base
        self.control = control


@dataclass(frozen=True, slots=True)
class ControlledCall:
    """The U-Net's own call, with residuals of what the control network sees in `ConditionInputs.concat`."""

    form: UNetForm

    def call(self, module: nn.Module, x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Tensor:
        """Predict for x [b 4 h w] at c_noise [b]. Raises ConfigError when nothing is shown."""
        assert isinstance(module, ControlledNetwork)
        hint = inputs.concat
        if hint is None:
            raise ConfigError("The control network is shown nothing.", hint="Set model.hint.")
        residuals = module.control(x, c_noise, inputs.context, inputs.vector, hint.to(x.dtype))
        return self.form.call(module.base, x, c_noise, replace(inputs, concat=None), residuals)


@torch.no_grad()
def copied_control(base: nn.Module, config: ControlNetConfig, seed: int) -> ControlNet:
    """A control network that begins as a copy of the U-Net's way down and, by its zero convolutions, adds nothing.

    Source: Zhang et al. 2023, arXiv:2302.05543, section 3.1.
    """
    control = ControlNet(config)
    initialise(control, seed, "control")
    # Frozen matrices may be held in a narrower dtype than is learned in, behind a parametrization.
    for path, layer in control.named_modules():
        if path.startswith(("input_hint_block", "zero_convs", "middle_block_out")):
            continue
        for name, weight in layer.named_parameters(recurse=False):
            weight.copy_(getattr(base.get_submodule(path), name))
    for silent in (*control.zero_convs, control.middle_block_out):
        for weight in silent.parameters():
            weight.zero_()
    # The last map over the picture is silent as well: at first the copy sees what the base sees.
    for weight in control.input_hint_block[-1].parameters():
        weight.zero_()
    return control
