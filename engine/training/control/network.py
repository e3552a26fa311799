"""A frozen U-Net with a control network beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from engine.diffusion.condition_inputs import ConditionInputs
from engine.families.unet.form import UNetForm
from engine.nn.control_net import ControlNet, ControlNetConfig
from engine.training.adapters.injection import AdapterForm, InjectedAdapter, inject
from engine.training.config.error import ConfigError
from engine.training.networks.initialisation import initialise

__all__ = ["ControlledCall", "ControlledNetwork", "copied_control", "learns_at_rank"]

_OWN_PARTS = ("input_hint_block", "zero_convs", "middle_block_out")
"""What a control network has beside the copy."""
_MATRICES = (nn.Linear, nn.Conv2d)


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
        if path.startswith(_OWN_PARTS):
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


def learns_at_rank(control: ControlNet, rank: int, seed: int) -> InjectedAdapter:
    """Fix the copied matrices and let changes of this rank be learned in their place, by the names of the modules.

    Matrices that such a change would make no smaller than half stay whole, and so do norms and biases.
    """
    names = {path: path for path, layer in control.named_modules() if _is_shrunk(path, layer, rank)}
    for path in names:
        control.get_submodule(path).get_parameter("weight").requires_grad_(False)
    return inject(control, names, AdapterForm("lora", rank), compute=torch.float32, seed=seed)


def _is_shrunk(path: str, layer: nn.Module, rank: int) -> bool:
    if path.startswith(_OWN_PARTS) or not isinstance(layer, _MATRICES):
        return False
    rows, columns = layer.weight.shape[0], layer.weight[0].numel()
    return 2 * rank * (rows + columns) < rows * columns
