from __future__ import annotations

import torch

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.requests import DenoiseRequest
from engine.worker.batch_plan import MAX_ITEMS, Pending, Throughput, pick_batch
from tests.gaussian_denoiser import GaussianDenoiser

DENOISER = GaussianDenoiser()
KEY = "key"


def pending(
    ticket: int, flow: int, index: int = 0, *, items: int = 1, size: int = 8, tokens: int = 77, alone: bool = False
) -> Pending:
    request = DenoiseRequest(
        DENOISER, torch.zeros(items, 4, size, size), 1.0, ConditionInputs(torch.zeros(1, tokens, 2))
    )
    return Pending(ticket, flow, index, request, alone)


def chosen(waiting: list[Pending], throughput: Throughput | None = None) -> list[tuple[int, int]]:
    return [(p.flow_id, p.index) for p in pick_batch(waiting, throughput or Throughput())]


def limited_to(width: int, example: Pending) -> Throughput:
    throughput = Throughput()
    throughput.forbid(example.request.batch_key, width + 1)
    return throughput


def test_nothing_waiting_is_no_batch() -> None:
    assert pick_batch([], Throughput()) == []


def test_requests_of_equal_key_share_a_forward_in_order_of_waiting() -> None:
    waiting = [pending(3, 1), pending(1, 2), pending(1, 2, 1), pending(2, 3)]
    assert chosen(waiting) == [(2, 0), (2, 1), (3, 0), (1, 0)]


def test_another_latent_size_waits_for_a_forward_of_its_own() -> None:
    assert chosen([pending(1, 1), pending(2, 2, size=16), pending(3, 3)]) == [(1, 0), (3, 0)]


def test_contexts_too_unequal_in_length_do_not_share() -> None:
    assert chosen([pending(1, 1), pending(2, 2, tokens=231), pending(3, 3, tokens=385)]) == [(1, 0), (2, 0)]


def test_a_flow_that_wants_to_be_alone_shares_with_nobody() -> None:
    assert chosen([pending(1, 1, alone=True), pending(1, 1, 1, alone=True), pending(2, 2)]) == [(1, 0), (1, 1)]
    assert chosen([pending(1, 1), pending(2, 2, alone=True), pending(3, 3)]) == [(1, 0), (3, 0)]


def test_the_width_bounds_the_items_and_keeps_groups_whole() -> None:
    waiting = [pending(1, 1), pending(1, 1, 1), pending(2, 2), pending(2, 2, 1), pending(3, 3)]
    assert chosen(waiting, limited_to(3, waiting[0])) == [(1, 0), (1, 1), (3, 0)]


def test_a_request_wider_than_the_width_runs_by_itself() -> None:
    waiting = [pending(1, 1, items=6), pending(2, 2)]
    assert chosen(waiting, limited_to(2, waiting[0])) == [(1, 0)]


def test_the_one_that_waited_longest_is_always_served() -> None:
    waiting = [pending(5, 1, size=8), pending(6, 2, size=8), pending(1, 3, size=16)]
    assert chosen(waiting) == [(3, 0)]


def measured(**seconds_of_width: float) -> Throughput:
    throughput = Throughput()
    for width, seconds in seconds_of_width.items():
        for _ in range(3):
            throughput.record(KEY, int(width.removeprefix("w")), seconds)
    return throughput


def test_nothing_known_is_no_bound() -> None:
    assert Throughput().width(KEY) == MAX_ITEMS


def test_one_measurement_proves_nothing() -> None:
    throughput = Throughput()
    throughput.record(KEY, 2, 10.0)
    assert throughput.width(KEY) == MAX_ITEMS


def test_the_width_doubles_while_wider_pays() -> None:
    assert measured(w2=1.0).width(KEY) == 4
    assert measured(w2=1.0, w4=1.2).width(KEY) == 8
    assert measured(w2=1.0, w4=1.2, w8=1.9).width(KEY) == 16


def test_the_width_stays_where_wider_does_not_pay() -> None:
    assert measured(w2=1.0, w4=2.0).width(KEY) == 2
    assert measured(w2=1.0, w4=1.2, w8=2.4).width(KEY) == 4


def test_a_slow_first_forward_is_forgotten() -> None:
    throughput = measured(w4=2.0)
    throughput.record(KEY, 2, 60.0)
    throughput.record(KEY, 2, 1.0)
    throughput.record(KEY, 2, 1.0)
    assert throughput.width(KEY) == 2


def test_a_width_that_did_not_fit_is_never_tried_again() -> None:
    throughput = measured(w2=1.0, w4=1.2)
    throughput.forbid(KEY, 8)
    assert throughput.width(KEY) == 7
    throughput.forbid(KEY, 2)
    assert throughput.width(KEY) == 1
