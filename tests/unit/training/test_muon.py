"""Orthogonal updates of matrices, and AdamW's of everything else."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from engine.training.muon import Muon, is_hidden_matrix
from engine.training.optimizer import OptimizerRecipe, TrapezoidSchedule


def _update(gradient: Tensor, rate: float = 1.0) -> Tensor:
    """What one step adds to a matrix or kernel that was zero."""
    weight = nn.Parameter(torch.zeros_like(gradient))
    weight.grad = gradient.clone()
    groups = [{"params": [weight], "weight_decay": 0.0, "is_orthogonal": True}]
    Muon(groups, rate, (0.9, 0.99), 1e-8, dtype=torch.float32).step()
    return weight.detach()


@pytest.mark.parametrize("shape", [(24, 24), (48, 12), (12, 20), (12, 120), (12, 8, 3, 3)])
def test_every_direction_of_a_matrix_moves_alike_whatever_its_gradient(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    gradient = torch.randn(shape) * 1e-5
    moved = _update(gradient, rate=0.1).reshape(shape[0], -1)
    sides = torch.linalg.svdvals(moved) / (0.1 * 0.2 * math.sqrt(max(moved.shape)))
    assert sides.min() > 0.6
    assert sides.max() < 1.25


def test_an_update_goes_against_the_gradient_and_has_the_size_of_an_adamw_update() -> None:
    torch.manual_seed(1)
    gradient = torch.randn(64, 96)
    moved = _update(gradient)
    assert torch.sum(moved * gradient) < 0
    assert moved.square().mean().sqrt() == pytest.approx(0.2, rel=0.2)


def test_several_matrices_of_one_shape_move_as_each_would_alone() -> None:
    torch.manual_seed(2)
    gradients = [torch.randn(16, 40) for _ in range(3)]
    weights = [nn.Parameter(torch.zeros(16, 40)) for _ in gradients]
    for weight, gradient in zip(weights, gradients):
        weight.grad = gradient
    groups = [{"params": weights, "weight_decay": 0.0, "is_orthogonal": True}]
    Muon(groups, 1.0, (0.9, 0.99), 1e-8, dtype=torch.float32).step()
    for weight, gradient in zip(weights, gradients):
        torch.testing.assert_close(weight.detach(), _update(gradient), atol=1e-5, rtol=1e-4)


def test_vectors_ends_and_token_tables_take_the_steps_of_adamw() -> None:
    torch.manual_seed(3)
    ends = nn.ModuleList([nn.Conv2d(4, 32, 3), nn.Conv2d(32, 4, 3), nn.GroupNorm(4, 32), nn.Embedding(1024, 16)])
    assert not any(is_hidden_matrix(parameter) for parameter in ends.parameters())
    assert is_hidden_matrix(nn.Linear(32, 16).weight)
    assert is_hidden_matrix(nn.Conv2d(8, 8, 3).weight)
    twin = copy.deepcopy(ends)
    recipe = {"learning_rate": 1e-2, "weight_decay": 0.1, "betas": (0.9, 0.99)}
    optimizers = [
        OptimizerRecipe(**recipe, algorithm="muon").build(ends.parameters()),
        OptimizerRecipe(**recipe).build(twin.parameters()),
    ]
    for _ in range(3):
        for one, other in zip(ends.parameters(), twin.parameters()):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ends.parameters(), twin.parameters()):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_a_stored_state_goes_on_as_if_nothing_had_happened() -> None:
    torch.manual_seed(4)
    straight = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    inputs = torch.randn(4, 16, 8)

    def run(network: nn.Module, optimizer: torch.optim.Optimizer, part: slice) -> None:
        for batch in inputs[part]:
            optimizer.zero_grad()
            network(batch).square().mean().backward()
            optimizer.step()

    recipe = OptimizerRecipe(1e-2, algorithm="muon")
    optimizer = recipe.build(straight.parameters())
    run(straight, optimizer, slice(0, 2))
    resumed = copy.deepcopy(straight)
    other = recipe.build(resumed.parameters())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(straight, optimizer, slice(2, 4))
    run(resumed, other, slice(2, 4))
    for one, two in zip(straight.parameters(), resumed.parameters()):
        assert torch.equal(one, two)


def test_a_trapezoid_holds_the_rate_and_falls_in_the_last_steps_alone() -> None:
    recipe = OptimizerRecipe(2.0, schedule=TrapezoidSchedule("trapezoid", warmup_steps=4, decay=0.25))
    assert [recipe.rate(step, 100) for step in (0, 1, 3, 4, 75)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert recipe.rate(88, 100) == pytest.approx(0.96)
    assert recipe.rate(100, 100) == 0.0
    assert recipe.rate(88, 200) == 2.0
