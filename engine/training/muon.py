"""Muon: momentum whose update of a weight matrix is made orthogonal, so that every direction of it moves alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "is_hidden_matrix"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives singular values into about 0.7 … 1.2 (Jordan 2024)."""
_ADAM_LIKE = 0.2
"""Root mean square of an AdamW update, which the orthogonal one is scaled to, so that one learning rate fits both."""


def is_hidden_matrix(parameter: nn.Parameter) -> bool:
    """Whether the parameter maps features to features.

    Vectors, the first and last kernels of pictures or latents and tables of tokens are none.
    """
    if parameter.ndim < 2:
        return False
    rows, columns = parameter.shape[:2]
    return min(rows, columns) > 4 and rows < 32 * columns


class Muon(torch.optim.Optimizer):
    """Groups with `is_orthogonal` take Muon's steps, the others those of AdamW with the same learning rate.

    Kernels [out, in, …] count as matrices [out, in · …]. Every update of a matrix [m, n] is scaled by
    0.2 · sqrt(max(m, n)), which gives it the size of an AdamW update.

    Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the scale and the decay:
    Liu et al. 2025, arXiv:2502.16982.

    Args:
        groups: parameter groups with keys "params", "is_orthogonal" and "weight_decay".
        lr: learning rate.
        betas, eps: of AdamW.
        momentum: of the orthogonal updates, with Nesterov's look ahead.
        num_iterations: Newton-Schulz iterations; 5 are usual.
        dtype: that the iterations compute in.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        momentum: float = 0.95,
        num_iterations: int = 5,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self._num_iterations = num_iterations
        self._dtype = dtype
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update. Parameters without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            present = [parameter for parameter in group["params"] if parameter.grad is not None]
            if present:
                (self._step_orthogonal if group["is_orthogonal"] else self._step_adamw)(group, present)
        return loss

    def _step_orthogonal(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        rate, momentum = group["lr"], group["momentum"]
        by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(gradient, 1.0 - momentum)
            ahead = gradient.lerp(state["momentum"], momentum).reshape(len(parameter), -1)
            by_shape.setdefault((ahead.shape[0], ahead.shape[1]), []).append((parameter, ahead))
        for shape, pairs in by_shape.items():
            # Matrices of one shape are made orthogonal together: one large product instead of many small ones.
            stacked = torch.stack([ahead for _, ahead in pairs]).to(self._dtype)
            updates = _orthogonal(stacked, self._num_iterations)
            scale = -rate * _ADAM_LIKE * math.sqrt(max(shape))
            for (parameter, _), update in zip(pairs, updates):
                parameter.mul_(1.0 - rate * group["weight_decay"])
                parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=scale)

    def _step_adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        first, second = group["betas"]
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            state = self.state[parameter]
            if not state:
                state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
            state["step"] += 1
            state["mean"].lerp_(gradient, 1.0 - first)
            state["square"].mul_(second).addcmul_(gradient, gradient, value=1.0 - second)
            size = (state["square"] / (1.0 - second ** state["step"])).sqrt_().add_(group["eps"])
            parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
            parameter.addcdiv_(state["mean"], size, value=-group["lr"] / (1.0 - first ** state["step"]))


def _orthogonal(matrices: Tensor, num_iterations: int) -> Tensor:
    """Matrices [b, m, n] with their singular values driven towards 1."""
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT.contiguous() if is_tall else matrices
    x = x / (torch.linalg.vector_norm(x.float(), dim=(1, 2), keepdim=True).to(x.dtype) + 1e-7)
    # Of wide matrices [m, n] the iteration is done on [m, m]: a third of the work for a 3 × 3 kernel. Rounding grows in
    # products of products, so the small matrices are made anew from x after two and after every further three.
    is_wide = x.shape[2] >= 3 * x.shape[1]
    remaining = num_iterations
    while remaining > 0:
        num = min(remaining, 1 if not is_wide else 2 if remaining == num_iterations else 3)
        x = _polynomials(x @ x.mT, num) @ x if is_wide else _polynomial_of(x)
        remaining -= num
    return x.mT if is_tall else x


def _polynomial_of(x: Tensor) -> Tensor:
    """a x + b (x xᵀ) x + c (x xᵀ)² x for matrices x [b, m, n]."""
    a, b, c = _COEFFICIENTS
    gram = x @ x.mT
    return torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)


def _polynomials(gram: Tensor, num: int) -> Tensor:
    """What `num` iterations multiply x with, from x xᵀ [b, m, m]. All of it commutes: it is made of one matrix."""
    a, b, c = _COEFFICIENTS
    product: Tensor | None = None
    for iteration in range(num):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor if product is None else factor @ product
        if iteration + 1 < num:
            gram = factor @ gram @ factor
    assert product is not None
    return product
