"""Learning rates, parameter groups, and the moving average."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.training.ema import Ema, EmaRecipe
from engine.training.optimizer import ConstantSchedule, CosineSchedule, LinearSchedule, OptimizerRecipe
from engine.training.progress import Meter


def test_the_rate_rises_in_the_warm_up_and_falls_as_half_a_cosine() -> None:
    recipe = OptimizerRecipe(learning_rate=2.0, schedule=CosineSchedule("cosine", warmup_steps=4))
    assert [recipe.rate(step, 104) for step in range(4)] == [0.5, 1.0, 1.5, 2.0]
    assert recipe.rate(4, 104) == 2.0
    assert recipe.rate(54, 104) == pytest.approx(1.0)
    assert recipe.rate(104, 104) == pytest.approx(0.0)


def test_other_schedules_hold_or_fall_in_a_line() -> None:
    assert OptimizerRecipe(3.0, schedule=ConstantSchedule()).rate(10**6, 10) == 3.0
    line = OptimizerRecipe(1.0, schedule=LinearSchedule("linear", warmup_steps=0, final=0.5))
    assert [line.rate(step, 10) for step in (0, 5, 10)] == [1.0, 0.75, 0.5]


def test_only_matrices_and_kernels_decay() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Linear(2, 2))
    decayed, plain = OptimizerRecipe(weight_decay=0.1).build(network.parameters()).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in plain["params"]} == {1}


def test_the_average_follows_the_weights_with_its_decay() -> None:
    weight = nn.Parameter(torch.zeros(3))
    ema = Ema(EmaRecipe(decay=0.9, warms_up=False), {"w": weight})
    with torch.no_grad():
        weight.fill_(1.0)
    for step in range(3):
        ema.update(step)
    assert torch.allclose(ema.state()["w"], torch.full((3,), 1 - 0.9**3))


def test_the_average_of_half_precision_weights_is_float32() -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    ema = Ema(EmaRecipe(decay=0.9999, warms_up=False), {"w": weight})
    with torch.no_grad():
        weight.fill_(2.0)
    ema.update(0)
    assert torch.allclose(ema.state()["w"], torch.full((3,), 1.0001), atol=1e-7)
    with ema.swapped_in():
        assert weight.dtype == torch.bfloat16


def test_a_warm_up_gives_the_first_steps_a_short_memory() -> None:
    recipe = EmaRecipe(decay=0.999)
    assert [round(recipe.decay_at(step), 3) for step in (0, 9, 10**6)] == [0.1, 0.526, 0.999]


def test_inside_the_swap_the_parameters_hold_the_average_and_come_back_after_an_error() -> None:
    weight = nn.Parameter(torch.full((2,), 5.0))
    ema = Ema(EmaRecipe(), {"w": weight})
    ema.load({"w": torch.tensor([1.0, 2.0])})
    seen = []

    def fail() -> None:
        with ema.swapped_in():
            seen.append(weight.tolist())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [[1.0, 2.0]]
    assert weight.tolist() == [5.0, 5.0]


def test_the_meter_tells_speed_and_remaining_time_without_the_first_step() -> None:
    times = iter([0.0, 100.0, 110.0, 115.0])
    meter = Meter(0, 100, 8, clock=lambda: next(times))
    meter.warm(1)
    meter.warm(2)
    first = meter.read(11, 0.5, 1e-4)
    assert (first.examples_per_s, first.remaining_s) == (8.0, 89.0)
    second = meter.read(21, 0.4, 1e-4)
    assert second.examples_per_s == 16.0
    assert second.remaining_s == pytest.approx(79 * 15 / 20)
    assert second.line == "step 21/100  loss 0.4000  16.0 examples/s  0:59 left"
