"""The last message of a job: its outcome, what ran, and the error as the job's record keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.execution.instructions import FinishJob
from engine.protocol.messages import JobDone
from engine.worker.job import RunningJob

__all__ = ["job_done"]

_LIFTED = ("node_type", "title", "exception_type", "exception_message", "traceback", "current_inputs")


def job_done(instruction: FinishJob, job: RunningJob, seconds: float, memory: Mapping[str, Any]) -> JobDone:
    """JobDone for a finished job.

    `stats`: {seconds, node_seconds {node: seconds}, node_bytes {node: bytes}, forwards, shared_forwards, memory}.
    `node_bytes` names nodes that held much, at their peak; `memory` is the job's memory story, left out where there is
    none.
    """
    lease = job.lease
    return JobDone(
        job=lease.job,
        epoch=lease.epoch,
        outcome=instruction.outcome,
        error=_error(instruction, job),
        ran=list(instruction.ran),
        cached=list(instruction.cached),
        reasons={node: dict(reason) for node, reason in instruction.reasons.items()},
        stats={
            "seconds": round(seconds, 6),
            "node_seconds": {node: round(spent, 6) for node, spent in job.node_seconds.items()},
            "node_bytes": {str(node): num_bytes for node, num_bytes in job.held_bytes.items()},
            "forwards": job.num_forwards,
            "shared_forwards": job.num_shared_forwards,
            **({"memory": dict(memory)} if memory else {}),
        },
        outputs={node: dict(ui) for node, ui in instruction.outputs.items()},
    )


def _error(instruction: FinishJob, job: RunningJob) -> dict[str, Any] | None:
    """The error as JSON; what describes a failed node stands at the top, and a generated node's origin is named."""
    error = instruction.error
    if error is None:
        return None
    record = error.to_json()
    details = dict(record.pop("details", {}))
    record.update({key: details.pop(key) for key in _LIFTED if key in details})
    if error.node is not None:
        real = job.live_graph.get_real_node_id(error.node)
        if real != error.node:
            record["node"], details["generated_node"] = real, error.node
            record["node_type"] = job.live_graph.get_node(real)["class_type"]
    if details:
        record["details"] = details
    record["executed"] = [*(node for node in instruction.ran if node in job.node_seconds), *instruction.cached]
    return record
