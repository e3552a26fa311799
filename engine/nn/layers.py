"""Torch's layers without random initialisation: weights come from a file, so building a network must cost nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Conv2d", "Embedding", "GroupNorm", "LayerNorm", "Linear"]


_MIN_ROWS = 16
_MIN_PACKED_VALUES = 100_000


class Linear(nn.Linear):
    """As torch's, its weights undefined until they are loaded; on the CPU by the quicker of two libraries.

    torch gives single precision to MKL, which leaves the widest registers of AMD's processors unused; oneDNN does not.
    """

    def reset_parameters(self) -> None:
        """Nothing to set."""

    def forward(self, input: Tensor) -> Tensor:
        """[... d] → [... k]."""
        # oneDNN's function takes its time to begin, too long for a few rows.
        if input.numel() >= _MIN_ROWS * input.shape[-1] and _suits_onednn(input, self.weight):
            return torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return functional.linear(input, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """As torch's, its weights undefined until they are loaded; its kernel may be packed.

    The CPU's library convolves with kernels in an order of its own. torch brings a kernel into that order in every
    forward, which for small pictures takes as long as the convolution. Who owns the weights may allow the layer to keep
    the packed kernel in the place of the plain one, by setting `on_packed`: it is called when that has happened, in
    the first forward.
    """

    on_packed: Callable[[], object] | None = None

    def reset_parameters(self) -> None:
        """Nothing to set."""

    @property
    def gains_by_packing(self) -> bool:
        """Whether the kernel is large enough for the order of its values to matter."""
        is_plain = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        return is_plain and self.weight.numel() >= _MIN_PACKED_VALUES and torch.backends.mkldnn.is_available()

    def forward(self, input: Tensor) -> Tensor:
        """[b c h w] → [b k h' w']."""
        weight = self.weight
        if self.on_packed is None and not weight.is_mkldnn:
            return self._conv_forward(input, weight, self.bias)
        if not _suits_onednn(input, weight):
            return self._conv_forward(input, weight.to_dense() if weight.is_mkldnn else weight, self.bias)
        if not weight.is_mkldnn:
            weight = self._pack(weight, input)
        shape = (self.padding, self.stride, self.dilation, self.groups)
        return torch.ops.mkldnn._convolution_pointwise(input, weight, self.bias, *shape, "none", [], "")

    def unpack(self) -> None:
        """Back to the plain kernel, for those who look at it."""
        self.__dict__.pop("on_packed", None)
        if self.weight.is_mkldnn:
            self.__dict__["weight"] = self.weight.to_dense()

    def _pack(self, weight: Tensor, x: Tensor) -> Tensor:
        shape = (self.padding, self.stride, self.dilation, self.groups)
        with torch._C.DisableTorchFunction():
            packed = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), *shape, x.shape)
        self.__dict__["weight"] = packed
        on_packed = self.__dict__.pop("on_packed")
        on_packed()
        return packed


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether these can be given to oneDNN's own functions, which compute single precision and no gradients here."""
    return (
        x.dtype is weight.dtype is torch.float32
        and x.device.type == weight.device.type == "cpu"
        and x.numel() > 0
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and (weight.is_mkldnn or weight.is_contiguous())
        and torch.backends.mkldnn.is_available()
    )


class GroupNorm(nn.GroupNorm):
    """As torch's, its weights undefined until they are loaded."""

    def reset_parameters(self) -> None:
        """Nothing to set."""


class LayerNorm(nn.LayerNorm):
    """As torch's, its weights undefined until they are loaded."""

    def reset_parameters(self) -> None:
        """Nothing to set."""


class Embedding(nn.Embedding):
    """As torch's, its rows undefined until they are loaded."""

    def reset_parameters(self) -> None:
        """Nothing to set."""
