"""Owns the forward: collects what all running flows ask for, merges what can share a forward, and sends answers back.

Everything is called on the device thread; callbacks may call back into the batcher.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.core.errors import Cancelled, OutOfMemory
from engine.diffusion.condition_inputs import merge_inputs
from engine.diffusion.requests import DenoiseRequest, Flow, Latent, RequestGroup
from engine.memory.device import is_out_of_memory
from engine.worker.batch_plan import Pending, Throughput, pick_batch

__all__ = ["Batcher", "Forward"]


@dataclass(frozen=True, slots=True)
class Forward:
    """A forward that ran: for which jobs (each once, in order of waiting), how many items, how long.

    `nodes`: job and node of every flow it was for.
    """

    jobs: tuple[Hashable, ...]
    num_items: int
    seconds: float
    nodes: tuple[tuple[Hashable, Hashable], ...] = ()


@dataclass(slots=True, eq=False)
class _Running:
    """A flow on its way. `group` is None until it has been asked for its first one."""

    flow_id: int
    job: Hashable
    flow: Flow[Any]
    on_done: Callable[[Any], None]
    on_error: Callable[[BaseException], None]
    is_alone: bool
    ticket: int
    priority: int
    node: Hashable = None
    group: RequestGroup | None = None
    answers: list[Latent | None] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Whether it can go on: not begun, or every request answered."""
        return self.group is None or all(answer is not None for answer in self.answers)


class Batcher:
    """Drives any number of flows to their ends.

    Args:
        clock: seconds, for learning how wide a forward pays.
        synchronize: waits until a device has finished its work, so that the clock means something.
        on_forward: told about every forward.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        synchronize: Callable[[torch.device], None] | None = None,
        on_forward: Callable[[Forward], None] | None = None,
    ) -> None:
        self._clock = clock
        self._synchronize = synchronize or (lambda device: None)
        self._on_forward = on_forward or (lambda forward: None)
        self._throughput = Throughput()
        self._running: dict[int, _Running] = {}
        self._spent_s: dict[Hashable, float] = {}
        self._ids = itertools.count()
        self._tickets = itertools.count()

    def submit(
        self,
        job_key: Hashable,
        flow: Flow[Any],
        on_done: Callable[[Any], None],
        on_error: Callable[[BaseException], None],
        *,
        alone: bool = False,
        priority: int = 0,
        node: Hashable = None,
    ) -> None:
        """Drive a flow to its end among the others; `step` or `cancel` will call exactly one of the callbacks.

        Args:
            job_key: whose it is; a job may have several flows.
            flow: begun by the next `step`.
            on_done: gets what the flow returns.
            on_error: gets what it raises.
            alone: never share a forward with other flows, for results that do not depend on company.
            priority: flows of high priority have every forward they want; those of low priority may join it.
            node: which node of the job it is, for those who are told about forwards.
        """
        present = {running.job for running in self._running.values()}
        self._spent_s = {job: spent for job, spent in self._spent_s.items() if job in present}
        # A newcomer owes nothing and is owed nothing: it starts where the least served of the others is.
        self._spent_s.setdefault(job_key, min(self._spent_s.values(), default=0.0))
        ids = (next(self._ids), job_key, flow, on_done, on_error, alone, next(self._tickets))
        running = _Running(*ids, priority, node)
        self._running[running.flow_id] = running

    def cancel(self, job_key: Hashable) -> None:
        """Close the flows of a job; their `on_error` gets Cancelled. A job without flows is no error."""
        for running in [r for r in self._running.values() if r.job == job_key]:
            if self._running.pop(running.flow_id, None) is None:
                continue  # a callback of this loop has cancelled it already
            error: BaseException = Cancelled("The job was cancelled.")
            try:
                running.flow.close()
            except BaseException as raised:  # noqa: BLE001 - clean-up code of a node may raise anything
                error = raised
            running.on_error(error)

    def step(self) -> bool:
        """Let every flow go on that can, then run one forward. Says whether flows are left."""
        for running in list(self._running.values()):
            if running.flow_id in self._running and running.is_ready:
                self._advance(running)
        batch = pick_batch(self._waiting(), self._throughput)
        if batch:
            self._run(batch)
        return bool(self._running)

    # ------------------------------------------------------------------ flows

    def _waiting(self) -> list[Pending]:
        return [
            Pending(
                running.ticket,
                running.flow_id,
                index,
                request,
                running.is_alone,
                running.priority,
                self._spent_s[running.job],
            )
            for running in self._running.values()
            if running.group is not None
            for index, request in enumerate(running.group.requests)
            if running.answers[index] is None
        ]

    def _advance(self, running: _Running) -> None:
        """Send a flow its answers and take its next group; empty groups are answered at once."""
        if running.group is None:
            self._resume(running, lambda: next(running.flow))
        else:
            answers = [answer for answer in running.answers if answer is not None]
            self._resume(running, lambda: running.flow.send(answers))

    def _throw(self, running: _Running, error: BaseException) -> None:
        """Raise an error inside a flow, where it can clean up, or recover and ask for something else."""
        self._resume(running, lambda: running.flow.throw(error))

    def _resume(self, running: _Running, action: Callable[[], RequestGroup]) -> None:
        try:
            running.group = action()
            while not running.group.requests:
                running.group = running.flow.send([])
        except StopIteration as stop:
            self._running.pop(running.flow_id, None)
            running.on_done(stop.value)
        except BaseException as error:  # noqa: BLE001 - the flow is a node's code; whoever submitted it decides
            self._running.pop(running.flow_id, None)
            running.on_error(error)
        else:
            running.answers = [None] * len(running.group.requests)
            running.ticket = next(self._tickets)

    # ------------------------------------------------------------------ forwards

    def _run(self, batch: Sequence[Pending]) -> None:
        """Answer a batch. One that fails for another reason than memory is retried flow by flow: one bad request must
        not fail its neighbours."""
        try:
            answers = self._compute(batch)
        except Exception as error:  # noqa: BLE001 - raised inside the flows it belongs to
            groups: dict[int, list[Pending]] = {}
            for pending in batch:
                groups.setdefault(pending.flow_id, []).append(pending)
            if len(groups) > 1:
                for group in groups.values():
                    self._run(group)
            elif batch[0].flow_id in self._running:
                self._throw(self._running[batch[0].flow_id], error)
            return
        for pending, answer in zip(batch, answers, strict=True):
            running = self._running.get(pending.flow_id)
            if running is not None:
                running.answers[pending.index] = answer

    def _compute(self, batch: Sequence[Pending]) -> list[Latent]:
        """The answers, in halves when memory does not suffice for the whole."""
        requests = [pending.request for pending in batch]
        try:
            return self._timed_forward(batch, requests)
        except Exception as error:
            if not (isinstance(error, OutOfMemory) or is_out_of_memory(error)):
                raise
            num_items = sum(request.num_items for request in requests)
            if num_items == 1:
                raise _as_typed(error) from error
        # Outside of the handler: its traceback would keep the tensors of the failed forward alive.
        self._throughput.forbid(requests[0].batch_key, num_items)
        if len(batch) > 1:
            middle = len(batch) // 2
            return self._compute(batch[:middle]) + self._compute(batch[middle:])
        return [self._split_rows(batch[0])]

    def _split_rows(self, pending: Pending) -> Latent:
        request = pending.request
        middle = request.num_items // 2
        halves = (slice(0, middle), slice(middle, request.num_items))
        parts = [
            DenoiseRequest(request.denoiser, request.x[rows], request.sigma, request.inputs.rows(rows.start, rows.stop))
            for rows in halves
        ]
        pieces = [Pending(pending.ticket, pending.flow_id, pending.index, part, pending.is_alone) for part in parts]
        return torch.cat([self._compute([piece])[0] for piece in pieces])

    def _timed_forward(self, batch: Sequence[Pending], requests: Sequence[DenoiseRequest]) -> list[Latent]:
        device = requests[0].denoiser.device
        self._synchronize(device)
        start = self._clock()
        answers = _forward(requests)
        self._synchronize(device)
        seconds = self._clock() - start
        num_items = sum(request.num_items for request in requests)
        self._throughput.record(requests[0].batch_key, num_items, seconds)
        flows = [self._running[p.flow_id] for p in batch if p.flow_id in self._running]
        jobs, nodes = dict.fromkeys(flow.job for flow in flows), dict.fromkeys((flow.job, flow.node) for flow in flows)
        self._charge(batch, seconds / num_items)
        self._on_forward(Forward(tuple(jobs), num_items, seconds, tuple(nodes)))
        return answers

    def _charge(self, batch: Sequence[Pending], item_s: float) -> None:
        """Note what each job had of a forward."""
        for pending in batch:
            running = self._running.get(pending.flow_id)
            if running is not None:
                self._spent_s[running.job] += item_s * pending.request.num_items


def _forward(requests: Sequence[DenoiseRequest]) -> list[Latent]:
    """One forward for requests of equal batch key."""
    counts = [request.num_items for request in requests]
    x = requests[0].x if len(requests) == 1 else torch.cat([request.x for request in requests])
    sigma = torch.cat([request.levels for request in requests])
    inputs = merge_inputs([request.inputs for request in requests], counts)
    return list(requests[0].denoiser.denoise(x, sigma, inputs).split(counts))


def _as_typed(error: BaseException) -> OutOfMemory:
    if isinstance(error, OutOfMemory):
        return error
    return OutOfMemory(
        "The device has not enough memory for a single item of this size.",
        hint="Make the picture smaller, or close other programs that use the device.",
    )
