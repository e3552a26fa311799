from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.core.errors import Cancelled, NodeError, OutOfMemory
from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.latent import LatentInput
from engine.diffusion.requests import DenoiseRequest, Flow, RequestGroup, drive
from engine.diffusion.samplers.registry import SAMPLERS
from engine.diffusion.sampling import sample
from engine.worker.batcher import Batcher, Forward
from tests.gaussian_denoiser import GaussianDenoiser, entry

TOLERANCE = 1e-5
"""Batched arithmetic is not bit-equal to solo arithmetic."""


@dataclass
class Outcome:
    """What the callbacks of one flow were told."""

    value: Any = None
    error: BaseException | None = None
    times_called: int = 0

    def done(self, value: Any) -> None:
        self.value = value
        self.times_called += 1

    def failed(self, error: BaseException) -> None:
        self.error = error
        self.times_called += 1


@dataclass
class Bench:
    """A batcher with a clock of its own. `seconds_of` says how long a forward of n items takes."""

    seconds_of: Callable[[int], float] = lambda items: 1.0
    forwards: list[Forward] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.batcher = Batcher(clock=lambda: self.now_s, on_forward=self.forwards.append)

    def submit(self, job: str, flow: Flow[Any], **more: Any) -> Outcome:
        outcome = self.outcomes[job] = Outcome()
        self.batcher.submit(job, flow, outcome.done, outcome.failed, **more)
        return outcome

    def run(self) -> None:
        while self.batcher.step():
            pass

    def jobs_of_forwards(self) -> list[tuple[Any, ...]]:
        return [forward.jobs for forward in self.forwards]


class TimedDenoiser(GaussianDenoiser):
    """Advances the bench's clock by what a forward costs."""

    bench: Bench

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        self.bench.now_s += self.bench.seconds_of(x.shape[0])
        return super().denoise(x, sigma, inputs)


def timed(bench: Bench) -> TimedDenoiser:
    denoiser = TimedDenoiser()
    object.__setattr__(denoiser, "bench", bench)
    return denoiser


def picture(
    denoiser: GaussianDenoiser,
    *,
    steps: int = 4,
    sampler: str = "euler",
    seed: int = 1,
    scale: float = 3.0,
    size: int = 8,
) -> Flow[Tensor]:
    sigmas = (*(14.6 * (0.03 / 14.6) ** (step / (steps - 1)) for step in range(steps)), 0.0)
    guider = Cfg(denoiser, (entry(1.0),), (entry(-1.0),), scale)
    return sample(guider, SAMPLERS[sampler], sigmas, LatentInput(torch.zeros(1, 4, size, size)), seed=seed)


def test_positive_and_negative_of_one_job_share_every_forward() -> None:
    bench = Bench()
    bench.submit("a", picture(GaussianDenoiser()))
    bench.run()
    assert [(forward.jobs, forward.num_items) for forward in bench.forwards] == [(("a",), 2)] * 4


def test_jobs_of_other_steps_samplers_seeds_and_scales_share_forwards() -> None:
    bench = Bench()
    denoiser = GaussianDenoiser()
    bench.submit("a", picture(denoiser, steps=5, sampler="heun", seed=1, scale=2.0))
    bench.submit("b", picture(denoiser, steps=8, sampler="euler", seed=2, scale=7.0))
    bench.submit("c", picture(denoiser, steps=3, sampler="dpmpp_2m_sde", seed=3, scale=4.0))
    bench.run()
    # heun: 9 evaluations, euler: 8, dpmpp_2m_sde: 3; side by side that is the longest one's number.
    assert len(bench.forwards) == 9
    assert bench.jobs_of_forwards()[:3] == [("a", "b", "c")] * 3
    assert bench.jobs_of_forwards()[3:8] == [("a", "b")] * 5
    assert bench.jobs_of_forwards()[8:] == [("a",)]


def test_jobs_side_by_side_give_what_they_give_alone() -> None:
    bench = Bench()
    denoiser = GaussianDenoiser()
    kinds = [("euler", 6, 1), ("heun", 4, 2), ("dpmpp_2m_sde", 5, 3), ("euler_ancestral", 7, 4), ("lcm", 3, 5)]
    for name, steps, seed in kinds:
        bench.submit(name, picture(denoiser, sampler=name, steps=steps, seed=seed))
    bench.run()
    for name, steps, seed in kinds:
        alone = drive(picture(GaussianDenoiser(), sampler=name, steps=steps, seed=seed))
        assert torch.allclose(bench.outcomes[name].value, alone, atol=TOLERANCE)


def test_other_networks_and_sizes_do_not_share() -> None:
    bench = Bench()
    bench.submit("a", picture(GaussianDenoiser()))
    bench.submit("b", picture(GaussianDenoiser(identity="other")))
    bench.submit("c", picture(GaussianDenoiser(), size=16))
    bench.run()
    assert {jobs for jobs in bench.jobs_of_forwards()} == {("a",), ("b",), ("c",)}


def test_jobs_that_cannot_share_take_turns() -> None:
    bench = Bench()
    bench.submit("a", picture(GaussianDenoiser()))
    bench.submit("b", picture(GaussianDenoiser(), size=16))
    bench.run()
    assert bench.jobs_of_forwards() == [("a",), ("b",)] * 4


class SlowDenoiser(TimedDenoiser):
    """One whose forwards take as long as its identity says."""

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        self.bench.now_s += float(self.identity)
        return GaussianDenoiser.denoise(self, x, sigma, inputs)


def slow(bench: Bench, seconds: float) -> SlowDenoiser:
    denoiser = SlowDenoiser(identity=str(seconds))
    object.__setattr__(denoiser, "bench", bench)
    return denoiser


def test_no_job_waits_for_more_than_twice_its_fair_share() -> None:
    costs, steps = {"quick": 0.001, "middle": 0.02, "slow": 0.3, "slower": 0.5}, 20
    bench = Bench()
    finished: dict[str, float] = {}
    for name, seconds in costs.items():
        flow = picture(slow(bench, seconds), steps=steps)
        bench.batcher.submit(name, flow, lambda _, name=name: finished.update({name: bench.now_s}), pytest.fail)
    bench.run()
    # A forward that has begun is not broken off: each job may find the others in the middle of one.
    started = sum(costs.values())
    for name, seconds in costs.items():
        assert finished[name] <= 2 * len(costs) * steps * seconds + started
    assert list(finished) == list(costs)


def test_a_newcomer_neither_catches_up_nor_waits_for_what_ran_before_it() -> None:
    bench = Bench()
    bench.submit("a", picture(slow(bench, 1.0), steps=8))
    for _ in range(4):
        bench.batcher.step()
    bench.submit("b", picture(slow(bench, 1.01), steps=4))
    bench.run()
    assert bench.jobs_of_forwards()[4:] == [("a",), ("b",)] * 4


def test_the_step_of_a_job_of_high_priority_comes_first() -> None:
    bench = Bench()
    bench.submit("low", picture(GaussianDenoiser(identity="other"), steps=6))
    bench.batcher.step()
    bench.submit("high", picture(GaussianDenoiser(), steps=3), priority=5)
    bench.submit("joins", picture(GaussianDenoiser(), steps=3), priority=-5)
    bench.run()
    assert bench.jobs_of_forwards() == [("low",), *[("high", "joins")] * 3, *[("low",)] * 5]


def test_a_job_that_asks_to_run_alone_shares_with_nobody() -> None:
    bench = Bench()
    denoiser = GaussianDenoiser()
    bench.submit("a", picture(denoiser), alone=True)
    bench.submit("b", picture(denoiser))
    bench.submit("c", picture(denoiser))
    bench.run()
    assert set(bench.jobs_of_forwards()) == {("a",), ("b", "c")}
    assert torch.equal(bench.outcomes["a"].value, _alone_in_a_batcher())


def _alone_in_a_batcher() -> Tensor:
    bench = Bench()
    bench.submit("a", picture(GaussianDenoiser()))
    bench.run()
    return bench.outcomes["a"].value


def test_a_job_joins_those_that_are_on_their_way() -> None:
    bench = Bench()
    denoiser = GaussianDenoiser()
    bench.submit("a", picture(denoiser))
    bench.batcher.step()
    bench.submit("b", picture(denoiser))
    bench.run()
    assert bench.jobs_of_forwards() == [("a",), ("a", "b"), ("a", "b"), ("a", "b"), ("b",)]


def test_forwards_widen_while_that_pays() -> None:
    bench = Bench(seconds_of=lambda items: 1.0)
    denoiser = timed(bench)
    for number in range(8):
        bench.submit(f"job {number}", picture(denoiser, steps=12))
    bench.run()
    assert bench.forwards[-1].num_items == 16
    assert len(bench.forwards) == 12


def test_forwards_stay_narrow_where_wider_does_not_pay() -> None:
    bench = Bench(seconds_of=lambda items: float(items) if items <= 4 else 10.0 * items)
    denoiser = timed(bench)
    bench.submit("first", picture(denoiser, steps=3))
    bench.run()
    bench.forwards.clear()
    for number in range(4):
        bench.submit(f"job {number}", picture(denoiser, steps=12))
    bench.run()
    assert {forward.num_items for forward in bench.forwards[6:]} == {2}


def test_a_cancelled_job_is_closed_and_told() -> None:
    bench = Bench()
    closed: list[bool] = []

    def watched() -> Flow[Tensor]:
        try:
            return (yield from picture(GaussianDenoiser()))
        finally:
            closed.append(True)

    outcome = bench.submit("a", watched())
    bench.batcher.step()
    bench.batcher.cancel("a")
    assert closed == [True]
    assert isinstance(outcome.error, Cancelled)
    assert outcome.times_called == 1
    assert bench.batcher.step() is False


def test_cancelling_one_job_leaves_the_others_as_they_are() -> None:
    bench = Bench()
    denoiser = GaussianDenoiser()
    bench.submit("a", picture(denoiser, seed=1))
    bench.submit("b", picture(denoiser, seed=2))
    bench.batcher.step()
    bench.batcher.cancel("a")
    bench.run()
    assert torch.allclose(bench.outcomes["b"].value, drive(picture(GaussianDenoiser(), seed=2)), atol=TOLERANCE)


def test_cancelling_closes_every_flow_of_a_job_even_from_a_callback() -> None:
    bench = Bench()
    outcomes = [Outcome(), Outcome(), Outcome()]
    denoiser = GaussianDenoiser()

    def failing() -> Flow[None]:
        yield RequestGroup(())
        raise NodeError("broken")

    def fail(error: BaseException) -> None:
        outcomes[0].failed(error)
        bench.batcher.cancel("a")

    bench.batcher.submit("a", failing(), outcomes[0].done, fail)
    for outcome in outcomes[1:]:
        bench.batcher.submit("a", picture(denoiser), outcome.done, outcome.failed)
    bench.run()
    assert [type(outcome.error) for outcome in outcomes] == [NodeError, Cancelled, Cancelled]
    assert [outcome.times_called for outcome in outcomes] == [1, 1, 1]


def test_cancelling_an_unknown_job_is_no_error() -> None:
    Batcher().cancel("nobody")


def test_a_flow_that_asks_for_nothing_ends_with_its_value() -> None:
    def quiet() -> Flow[str]:
        answers = yield RequestGroup(())
        return f"{len(answers)} answers"

    bench = Bench()
    outcome = bench.submit("a", quiet())
    assert bench.batcher.step() is False
    assert outcome.value == "0 answers"


def test_an_exception_inside_a_flow_reaches_its_own_callback_only() -> None:
    def broken() -> Flow[None]:
        yield RequestGroup((DenoiseRequest(GaussianDenoiser(), torch.zeros(1, 4, 8, 8), 1.0, ConditionInputs()),))
        raise ValueError("inside")

    bench = Bench()
    failed, fine = bench.submit("a", broken()), bench.submit("b", picture(GaussianDenoiser()))
    bench.run()
    assert str(failed.error) == "inside"
    assert fine.error is None


# ------------------------------------------------------------------ failing forwards


class Refusing(GaussianDenoiser):
    """Fails for any batch that holds an item whose context mean is 13."""

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        if inputs.context is not None and bool((inputs.context.mean(dim=(1, 2)) == 13.0).any()):
            raise RuntimeError("unlucky")
        return super().denoise(x, sigma, inputs)


def test_a_request_that_fails_does_not_fail_its_neighbours() -> None:
    bench = Bench()
    denoiser = Refusing()
    sigmas = (5.0, 1.0, 0.0)

    def job(mean: float) -> Flow[Tensor]:
        guider = Cfg(denoiser, (entry(mean),), (entry(0.0),), 3.0)
        return sample(guider, SAMPLERS["euler"], sigmas, LatentInput(torch.zeros(1, 4, 8, 8)), seed=1)

    bad, good = bench.submit("bad", job(13.0)), bench.submit("good", job(1.0))
    bench.run()
    assert str(bad.error) == "unlucky"
    assert good.error is None
    assert good.value.shape == (1, 4, 8, 8)


class Cramped(GaussianDenoiser):
    """Has memory for `max_items` items."""

    max_items = 3
    error: type[BaseException] = torch.OutOfMemoryError

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        if x.shape[0] > self.max_items:
            self.forwards.append(-x.shape[0])
            raise self.error("no room")
        return super().denoise(x, sigma, inputs)


class Starved(Cramped):
    max_items = 0


class CrampedWithTypedError(Cramped):
    error = OutOfMemory


@pytest.mark.parametrize("kind", [Cramped, CrampedWithTypedError])
def test_a_forward_that_does_not_fit_is_halved_and_remembered(kind: type[Cramped]) -> None:
    bench = Bench()
    denoiser = kind()
    for number in range(4):
        bench.submit(f"job {number}", picture(denoiser, seed=number))
    bench.run()
    assert denoiser.forwards.count(-8) == 1
    assert denoiser.forwards.count(-4) == 2
    assert max(denoiser.forwards) <= 3
    for number in range(4):
        alone = drive(picture(GaussianDenoiser(), seed=number))
        assert torch.allclose(bench.outcomes[f"job {number}"].value, alone, atol=TOLERANCE)


def test_a_single_request_of_many_items_is_split_by_rows() -> None:
    bench = Bench()
    denoiser = Cramped()
    x = torch.randn(7, 4, 8, 8)
    context = torch.arange(7.0).view(7, 1, 1).expand(7, 3, 2)
    request = DenoiseRequest(denoiser, x, 2.0, ConditionInputs(context))

    def flow() -> Flow[Tensor]:
        (denoised,) = yield RequestGroup((request,))
        return denoised

    outcome = bench.submit("a", flow())
    bench.run()
    wanted = GaussianDenoiser().denoise(x, torch.full((7,), 2.0), ConditionInputs(context))
    assert torch.allclose(outcome.value, wanted, atol=TOLERANCE)


def test_no_room_for_a_single_item_is_a_typed_error() -> None:
    bench = Bench()
    outcome = bench.submit("a", picture(Starved()))
    bench.run()
    assert isinstance(outcome.error, OutOfMemory)
    assert outcome.error.hint != ""


def test_a_flow_may_catch_a_failed_forward_and_ask_for_less() -> None:
    denoiser = Starved()
    roomy = GaussianDenoiser(identity="roomy")
    x = torch.ones(1, 4, 8, 8)

    def flow() -> Flow[str]:
        try:
            yield RequestGroup((DenoiseRequest(denoiser, x, 1.0, ConditionInputs()),))
        except OutOfMemory:
            yield RequestGroup((DenoiseRequest(roomy, x, 1.0, ConditionInputs()),))
            return "recovered"
        return "unreachable"

    bench = Bench()
    outcome = bench.submit("a", flow())
    bench.run()
    assert outcome.value == "recovered"
