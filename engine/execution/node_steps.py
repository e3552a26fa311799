"""What happens to a node once its inputs are there: asked, called, expanded, done or blocked."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from engine.core.errors import AtelierError, NodeError
from engine.execution.calls import CallPlan, merge_results, plan_calls
from engine.execution.desk import Claim, Desk, Seat
from engine.execution.events import Blocker, CallResult, CallsReturned
from engine.execution.expansion import adopt
from engine.execution.instructions import AskLazy, RunNode
from engine.execution.job_run import JobRun
from engine.execution.node_run import NodeRun, NodeState
from engine.graph.graph import Link

__all__ = ["settle", "start_ready", "take_error", "take_lazy_answer", "take_results"]

_SILENT = Blocker()
_CACHE_OFF = MappingProxyType({"reason": "cache_off"})


def settle(desk: Desk) -> None:
    """Tell the consumers of every settled node, and theirs, until nothing moves."""
    while desk.settled:
        seat = desk.settled.popleft()
        for expanded in seat.job.settle(seat.run):
            _complete_expansion(seat.job, expanded, desk)


# -------------------------------------------------------------------- start


def start_ready(job: JobRun, desk: Desk) -> bool:
    """Start the job's ready nodes, best first, as far as the lanes have room; whether anything was started."""
    has_started = False
    for lane in list(job.ready):
        while job.is_advancing and desk.lanes.has_room(lane):
            run = job.next_ready(lane)
            if run is None:
                break
            has_started = True
            try:
                _start(job, run, desk)
            except NodeError as error:
                job.fail(error)
            settle(desk)
    return has_started


def _start(job: JobRun, run: NodeRun, desk: Desk) -> None:
    claim = desk.claims.get(run.address)
    is_owner = claim is not None and claim.owner.run is run
    if not is_owner and job.serve_from_elsewhere(run):
        job.let_go(run)
        return
    plan = plan_calls(run.node, run.spec, _inputs(job, run))
    if not is_owner and not desk.cache.is_off:
        desk.claims[run.address] = Claim(Seat(job, run))
    if not plan.calls:
        _report_blockers(job, run, plan)
        job.commit(run, tuple([_SILENT] * plan.num_calls for _ in run.spec.outputs))
    elif run.spec.has_lazy_check and not run.has_asked and len(run.wanted) < len(run.lazy):
        job.set_state(run, NodeState.ASKING)
        desk.instructions.append(AskLazy(job.id, run.place, run.node, run.spec, plan.calls))
    else:
        _run(job, run, plan, desk)


def _run(job: JobRun, run: NodeRun, plan: CallPlan, desk: Desk) -> None:
    run.plan = plan
    job.set_state(run, NodeState.RUNNING)
    job.ran[run.id] = None
    job.story.reasons[run.id] = (
        _CACHE_OFF
        if desk.cache.is_off
        else desk.signatures.explain(run.node, run.spec, job.addresses, job.fingerprints)
    )
    desk.lanes.take(run.spec)
    _report_blockers(job, run, plan)
    job.report("node_started", run.place_data())
    desk.instructions.append(
        RunNode(job.id, run.place, run.node, run.spec, plan.calls, run.address, plan.indices, plan.num_calls)
    )


def _inputs(job: JobRun, run: NodeRun) -> dict[str, list[Any]]:
    """Per argument the list of its values; lazy inputs that were not asked for are None."""
    inputs: dict[str, list[Any]] = {}
    for name, value in run.node.inputs.items():
        if type(value) is not Link:
            if run.spec.input_named(name) is not None:
                inputs[name] = [value]
        elif name in run.strong or name in run.wanted:
            inputs[name] = job.values_of(value)
        elif name in run.lazy:
            inputs[name] = [None]
        elif name in run.raw:
            inputs[name] = [[value.node, value.slot]]
    for item in run.spec.hidden_inputs:
        if item.type != "DYNPROMPT":
            inputs[item.name] = [run.id if item.type == "UNIQUE_ID" else job.hidden.get(item.type)]
    return inputs


def _report_blockers(job: JobRun, run: NodeRun, plan: CallPlan) -> None:
    """Every message once; a silent report when the node is not called at all."""
    messages = dict.fromkeys(blocker.message for blocker in plan.blockers)
    spoken = [message for message in messages if message is not None]
    for message in spoken or ([None] if messages and not plan.calls else []):
        job.report("node_blocked", {**run.place_data(), "message": message})


# -------------------------------------------------------------------- answers of the loop


def take_lazy_answer(job: JobRun, run: NodeRun, names: frozenset[str]) -> None:
    """The lazy check of a node named the inputs it wants."""
    job.set_state(run, NodeState.WAITING)
    if not job.is_advancing:
        return
    present = run.node.inputs.keys() | {item.name for item in run.spec.hidden_inputs}
    missing = sorted(names - present)
    if missing:
        job.fail(
            NodeError(
                f"The lazy check of {run.node.type} asks for input {missing[0]!r}, which has no value.",
                code="unknown_lazy_input",
                hint="Connect the input.",
                node=run.id,
                input=missing[0],
            )
        )
        return
    fresh = [name for name in run.lazy if name in names and name not in run.wanted]
    run.has_asked = not fresh
    run.wanted.update(fresh)
    stack: list[NodeRun] = []
    try:
        job.depend(run, [run.lazy[name].node for name in fresh], stack)
        job.demand(stack)
    except NodeError as error:
        job.fail(error)


def take_results(job: JobRun, run: NodeRun, returned: CallsReturned, desk: Desk) -> None:
    """All calls of a node came back. A stopped job keeps what is finished and expands nothing."""
    assert run.plan is not None
    try:
        results = run.plan.place(returned.results)
        run.ui, run.cost_s = returned.ui, returned.cost_s
        if any(result.expansion is not None for result in results):
            _expand(job, run, results, desk)
        else:
            _finish(job, run, results, desk)
    except NodeError as error:
        _abandon(job, run, desk)
        job.fail(error)


def take_error(job: JobRun, run: NodeRun, error: AtelierError, desk: Desk) -> None:
    """A call or the lazy check of a node raised."""
    if error.node is None:
        error.node = run.id
    _abandon(job, run, desk)
    job.fail(error)


def _abandon(job: JobRun, run: NodeRun, desk: Desk) -> None:
    run.plan = None
    run.results = None
    job.set_state(run, NodeState.IDLE)
    desk.give_up(run.address, run)


def _finish(job: JobRun, run: NodeRun, results: list[CallResult], desk: Desk) -> None:
    outputs = merge_results(run.id, run.spec, results, job.values_of)
    run.plan = None
    run.results = None
    job.commit(run, outputs)
    job.report("node_finished", {**run.place_data(), "ui": run.ui, "cached": False})
    if run.ui is not None:
        job.outputs[run.id] = run.ui
    desk.signatures.remember(run.node, run.spec, job.addresses, job.fingerprints)


def _expand(job: JobRun, run: NodeRun, results: list[CallResult], desk: Desk) -> None:
    if not job.is_advancing:
        _abandon(job, run, desk)
        return
    fresh, needed = adopt(job, run, results)
    run.plan = None
    run.results = results
    run.is_kept = True
    job.set_state(run, NodeState.EXPANDED)
    job.report("node_expanded", {**run.place_data(), "nodes": fresh})
    job.hold(run, needed)
    stack: list[NodeRun] = []
    job.depend(run, needed, stack)
    job.demand(stack)
    if not run.missing:
        _complete_expansion(job, run, desk)


def _complete_expansion(job: JobRun, run: NodeRun, desk: Desk) -> None:
    assert run.results is not None
    try:
        _finish(job, run, run.results, desk)
    except NodeError as error:
        _abandon(job, run, desk)
        job.fail(error)
