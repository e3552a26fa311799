"""Which pending requests share the next forward, and how wide a forward pays. Pure decisions; nothing runs here."""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from engine.diffusion.condition_inputs import can_share_context
from engine.diffusion.requests import DenoiseRequest

__all__ = ["Pending", "Throughput", "pick_batch"]

MAX_ITEMS = 64
"""Never more items in one forward: beyond this, latency of a step grows for every job and nothing is left to gain."""

WORTHWHILE_GAIN = 1.10
"""A wider forward must compute this many times more items per second than the best narrower one."""

_SAMPLES = 7
_SAMPLES_NEEDED = 2
"""The first forward of a width may include loading weights or tuning kernels, so one sample proves nothing."""

_KEYS_REMEMBERED = 128


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A request that waits.

    ticket: order of waiting; requests of one group share a ticket.
    flow_id: whose it is; requests of one flow are kept together.
    index: place in the flow's group.
    is_alone: must not share a forward with other flows.
    priority: high goes first.
    spent_s: device time its job has had, counted from what the least served job had when this one came.
    """

    ticket: int
    flow_id: int
    index: int
    request: DenoiseRequest
    is_alone: bool
    priority: int = 0
    spent_s: float = 0.0


@dataclass(slots=True)
class _Widths:
    """What is known of one batch key: recent seconds per forward by number of items, and a hard limit."""

    seconds: dict[int, deque[float]] = field(default_factory=dict)
    limit: int = MAX_ITEMS

    def rates(self) -> dict[int, float]:
        """Items per second of the widths that are known well enough, narrowest first."""
        known = {n: s for n, s in self.seconds.items() if n <= self.limit and len(s) >= _SAMPLES_NEEDED}
        return {n: n / max(statistics.median(known[n]), 1e-9) for n in sorted(known)}


class Throughput:
    """Learns, per batch key, how many items a forward should hold."""

    def __init__(self) -> None:
        self._widths: OrderedDict[Hashable, _Widths] = OrderedDict()

    def record(self, key: Hashable, num_items: int, seconds: float) -> None:
        """A forward of this many items took this long."""
        widths = self._widths.setdefault(key, _Widths())
        self._widths.move_to_end(key)
        widths.seconds.setdefault(num_items, deque(maxlen=_SAMPLES)).append(seconds)
        while len(self._widths) > _KEYS_REMEMBERED:
            self._widths.popitem(last=False)

    def forbid(self, key: Hashable, num_items: int) -> None:
        """A forward of this many items did not fit; stay below from now on."""
        widths = self._widths.setdefault(key, _Widths())
        widths.limit = max(1, min(widths.limit, num_items - 1))

    def width(self, key: Hashable) -> int:
        """How many items the next forward may hold: the best width known, or twice that while wider still paid.

        Nothing known: no bound, so that the first measurement is of what the jobs at hand need.
        """
        widths = self._widths.get(key)
        if widths is None:
            return MAX_ITEMS
        rates = widths.rates()
        if not rates:
            return widths.limit
        best = next(iter(rates))
        for num_items, rate in rates.items():
            if rate > rates[best] * WORTHWHILE_GAIN:
                best = num_items
        is_widest = best == max(rates)
        return min(2 * best if is_widest else best, widths.limit)


def pick_batch(waiting: Sequence[Pending], throughput: Throughput) -> list[Pending]:
    """The requests of the next forward: those whose turn it is and what may join them.

    It is the turn of the highest priority, among its flows of the job that had least of the device's time, among equals
    of the flow that waited longest: so a quick network does not wait for a slow one step by step, and everybody gets
    the same share. That flow is served, as much of it as fits the width (at least one request). Other flows follow in
    the same order, each with all its compatible requests or not at all: half a group gains its flow nothing.
    """
    if not waiting:
        return []
    ordered = sorted(waiting, key=lambda p: (-p.priority, p.spent_s, p.ticket, p.flow_id, p.index))
    first = ordered[0]
    key = first.request.batch_key
    width = throughput.width(key)
    groups: dict[int, list[Pending]] = {}
    for pending in ordered:
        if pending.request.batch_key == key:
            groups.setdefault(pending.flow_id, []).append(pending)
    chosen = [first]
    for pending in groups.pop(first.flow_id)[1:]:
        if _fits(chosen, [pending], width):
            chosen.append(pending)
    for group in groups.values():
        may_join = not first.is_alone and not group[0].is_alone
        if may_join and _fits(chosen, group, width):
            chosen.extend(group)
    return chosen


def _fits(chosen: Sequence[Pending], group: Sequence[Pending], width: int) -> bool:
    together = [*chosen, *group]
    if sum(pending.request.num_items for pending in together) > width:
        return False
    tokens = {pending.request.inputs.num_tokens for pending in together}
    return all(can_share_context(a, b) for a in tokens for b in tokens)
