"""Hypernetworks: small networks that change what attention takes its keys and values from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.attention import CrossAttention
from engine.nn.edits.requirements import require_unet

__all__ = ["ACTIVATIONS", "ContextNetwork", "HyperNetwork", "Stage"]

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": functional.relu,
    "leakyrelu": functional.leaky_relu,
    "elu": functional.elu,
    "swish": functional.hardswish,
    "hardswish": functional.hardswish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": functional.softsign,
    "softplus": functional.softplus,
    "mish": functional.mish,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "selu": functional.selu,
}
"""By the names files use; "swish" is what the web interface's training called the hard form."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A linear map [o i] with its bias [o], whether an activation follows, and the norm behind that."""

    weight: Tensor
    bias: Tensor
    is_activated: bool
    norm: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ContextNetwork:
    """Stages one after the other. Tensors are float32 and never written."""

    stages: tuple[Stage, ...]
    activation: str = "linear"

    def __call__(self, x: Tensor) -> Tensor:
        """What is added to the tokens x [b n d], of their shape."""
        y = x
        for stage in self.stages:
            y = functional.linear(y, stage.weight.to(y), stage.bias.to(y))
            if stage.is_activated:
                y = ACTIVATIONS[self.activation](y)
            if stage.norm is not None:
                y = functional.layer_norm(y, y.shape[-1:], stage.norm[0].to(y), stage.norm[1].to(y))
        return y


@dataclass(frozen=True, slots=True, eq=False)
class HyperNetwork:
    """Every attention whose tokens have one of these widths sees x + strength · network(x), for keys and for values.

    content: digest of the networks. networks: width → (for keys, for values).
    Source: the hypernetworks of NovelAI and of the Stable Diffusion web interface (2022).
    """

    content: str
    networks: Mapping[int, tuple[ContextNetwork, ContextNetwork]] = field(repr=False)
    strength: float = 1.0

    @property
    def identity(self) -> str:
        """Equal for equal edits."""
        return f"hypernetwork {self.content} {self.strength!r}"

    def covers(self, sigma: float) -> bool:
        """At every level."""
        return True

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Put the networks before the maps to keys and values."""
        with ExitStack() as undo:
            for module in require_unet(network).modules():
                if not isinstance(module, CrossAttention):
                    continue
                for place, linear in enumerate((module.to_k, module.to_v)):
                    pair = self.networks.get(linear.in_features)
                    if pair is not None:
                        undo.callback(linear.register_forward_pre_hook(self._before(pair[place])).remove)
            yield

    def _before(self, change: ContextNetwork) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Tensor]]:
        def hook(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
            (tokens,) = arguments
            return (tokens + change(tokens) * self.strength,)

        return hook
