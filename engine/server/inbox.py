"""What workers said, applied as one transaction: a batch of messages becomes events, states, names and live items.

Batches are whatever arrived while the previous commit was under way, so a busy worker costs few commits and an idle
one no delay.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import AtelierError
from engine.core.ids import ClientId, JobId
from engine.graph.schema import Catalog
from engine.protocol.messages import JobDone, JobReport, OutputsStaged, PackEvent, Preview
from engine.server import leases
from engine.server.change import Change
from engine.server.feed import PREVIEW, PROGRESS, PreviewPicture
from engine.server.origins import note_origin
from engine.server.outputs import OutputPlacer, Placement
from engine.server.records import EventRecord
from engine.server.shown_files import with_files

__all__ = ["Ended", "Held", "Letter", "Outcome", "apply"]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Held:
    """A job a worker holds, as the server's memory knows it. `nodes`: how nodes with output are shown."""

    job: str
    worker: str
    generation: int
    epoch: int
    is_exclusive: bool
    client_id: ClientId | None
    nodes: dict[str, Any] = field(default_factory=dict)
    last_node: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker process has ended while it held `jobs`."""

    worker: str
    generation: int
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """One thing to apply: a message with the held job it concerns, or the end of a process with all jobs it held."""

    message: JobReport | JobDone | OutputsStaged | Preview | PackEvent | Ended
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a letter. `ended`: jobs that the worker no longer holds; `placements`: files to be placed;
    `refused`: why the files of an OutputsStaged cannot be."""

    letter: Letter
    ended: tuple[str, ...] = ()
    placements: tuple[Placement, ...] = ()
    refused: AtelierError | None = None


def apply(change: Change, letters: Sequence[Letter], placer: OutputPlacer, catalog: Catalog) -> list[Outcome]:
    """Apply a batch in order. Letters whose lease is over are dropped. The catalog says what in a prompt is what."""
    outcomes = []
    for letter in letters:
        message = letter.message
        if isinstance(message, Ended):
            outcomes.append(_apply_end(change, letter, message))
            continue
        if isinstance(message, PackEvent):
            change.show(_pack_event(message, change.now_s))
            continue
        head = leases.held(change, message.job, message.epoch)
        if head is None or not letter.held:
            _log.info("A stale %s of job %s was refused.", type(message).__name__, message.job)
            continue
        leases.start(change, head)
        held = letter.held[0]
        if isinstance(message, JobDone):
            leases.finish(change, head, message, held.nodes)
            outcomes.append(Outcome(letter, ended=(held.job,)))
        elif isinstance(message, OutputsStaged):
            outcomes.append(_apply_staged(change, letter, message, placer, catalog))
        elif isinstance(message, Preview):
            change.show(_picture(message, held))
            place = {"node": message.node, "display": message.display, "parent": message.parent, "real": message.real}
            change.show(EventRecord(JobId(held.job), 0, PREVIEW, place, change.now_s, held.client_id))
        elif message.kind == PROGRESS:
            change.show(EventRecord(JobId(held.job), 0, PROGRESS, message.data, change.now_s, held.client_id))
        else:
            change.append(head, message.kind[:40], with_files(change, message.kind, message.data))
    return outcomes


def _apply_end(change: Change, letter: Letter, message: Ended) -> Outcome:
    is_crash = message.evidence.get("killed_for") not in ("cancel", "shutdown")
    for held in letter.held:
        evidence = {**message.evidence, "worker": message.worker, "last_node": held.last_node}
        leases.lose(change, held.job, held.epoch, evidence, is_crash=is_crash)
    return Outcome(letter, ended=tuple(held.job for held in letter.held))


def _apply_staged(
    change: Change, letter: Letter, message: OutputsStaged, placer: OutputPlacer, catalog: Catalog
) -> Outcome:
    try:
        placements = tuple(placer.name(change, message))
    except AtelierError as error:
        head = change.head(message.job)
        error.node = error.node or message.node
        done = JobDone(job=message.job, epoch=message.epoch, outcome="failed", error=error.to_json())
        leases.finish(change, head, done, {})
        return Outcome(letter, ended=(message.job,), refused=error)
    note_origin(change, message.job, catalog)
    return Outcome(letter, placements=placements)


def _pack_event(message: PackEvent, now_s: float) -> EventRecord:
    """What a pack tells browsers keeps its place among the events of its job; it is not stored."""
    client = None if message.client is None else ClientId(message.client)
    data = {"event": message.event, **message.data}
    return EventRecord(JobId(message.job or ""), 0, "pack_event", data, now_s, client)


def _picture(message: Preview, held: Held) -> PreviewPicture:
    return PreviewPicture(
        job=JobId(held.job),
        client_id=held.client_id,
        node=message.node,
        display=message.display,
        parent=message.parent,
        real=message.real,
        media_type=message.media_type,
        data=message.data,
    )
