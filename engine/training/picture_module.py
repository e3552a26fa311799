"""What modules share that learn from pictures alone: first stages, preview decoders, upscalers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.data.collate import Batch
from engine.training.optimizer import ParameterSet

__all__ = ["PictureModule", "Validated", "psnr"]


@dataclass(frozen=True, slots=True)
class Validated:
    """What a module did with held-out pictures.

    figures: by name, one value for each picture [b], higher is better. pictures: what to look at, [b n 3 h w] in
    [0, 1]: n of the same size side by side for each picture, the true one first.
    """

    figures: Mapping[str, Tensor]
    pictures: Tensor


class PictureModule(nn.Module):
    """A network and its loss. measurements: parts of the last loss, for logs. input_key: of the pictures."""

    def __init__(self, network: nn.Module, input_key: str, context: BuildContext) -> None:
        super().__init__()
        self.network = network
        self.input_key = input_key
        self.seed = context.seed
        self.memory_format: torch.memory_format = torch.contiguous_format
        self.measurements: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """What is learned, by name; frozen parts come from their files again."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def parameter_sets(self) -> tuple[ParameterSet, ...]:
        """All that is learned, as one."""
        return (ParameterSet(tuple(self.trained_parameters().values())),)

    def prepare(self, batch: Batch) -> Batch:
        """The batch as it is: nothing is left to do on the host."""
        return batch

    def loss(self, batch: Mapping[str, Any], num_step_examples: int) -> Tensor:
        """The mean loss of a batch that is a part of a step over `num_step_examples` examples."""
        raise NotImplementedError

    def validate(self, batch: Mapping[str, Any]) -> Validated:
        """How well held-out pictures are done; nothing random."""
        raise NotImplementedError

    def exported(self) -> dict[str, Tensor]:
        """The published file's keys with the weights."""
        raise NotImplementedError

    def pixels(self, batch: Mapping[str, Any]) -> Tensor:
        """The batch's pictures on the device, float32 [b 3 h w] in [-1, 1]. Raises ConfigError without any."""
        found = batch.get(self.input_key)
        if not isinstance(found, Tensor) or found.ndim != 4:
            raise ConfigError(
                f"The data gives no pictures as {self.input_key!r}.",
                hint=f"Set model.input_key to one of {sorted(key for key in batch if key != 'first_draw')}.",
            )
        return self.laid_out(found.to(self.device).float())

    def laid_out(self, pixels: Tensor) -> Tensor:
        """The tensor in the memory layout the network is used with."""
        return pixels.contiguous(memory_format=self.memory_format)

    def use_channels_last(self) -> None:
        """Lay out kernels and feature maps with the channels last, which tensor cores prefer."""
        self.memory_format = torch.channels_last
        self.to(memory_format=torch.channels_last)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Let torch compile the network; names of weights stay."""
        self.network.compile(*arguments, **options)


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair of pictures [b 3 h w] in [0, 1], dB: [b]. Clamped to [0, 1] first."""
    errors = (made.float().clamp(0, 1) - true.float().clamp(0, 1)).square().flatten(1).mean(dim=1)
    return -10.0 * torch.log10(errors.clamp_min(1e-10))
