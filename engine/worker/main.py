"""Composition root of a worker process: `python -m engine.worker.main`, started by the server with pipes."""

from __future__ import annotations

import gc
import logging
import os
import sys
from pathlib import Path

from engine.core.errors import ProtocolError
from engine.core.settings import settings_from_json
from engine.protocol.messages import CatalogPublished, Start
from engine.worker.inbox import EXIT_BAD_FRAME, Inbox, Outbox
from engine.worker.pack_sources import scan_sources
from engine.worker.stdio import die_with_parent, ignore_interrupts, take_over_stdio

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Serve until the server says Shutdown or goes away; the exit status."""
    frames_in, frames_out = take_over_stdio()
    die_with_parent()
    ignore_interrupts()
    outbox = Outbox(frames_out)
    inbox = Inbox.open(frames_in, outbox.send)
    try:
        start = inbox.read_first()
    except ProtocolError as error:
        sys.stderr.write(f"The server broke the protocol: {error.message}\n")
        return EXIT_BAD_FRAME
    if start is None:
        return 0
    if not isinstance(start, Start):
        sys.stderr.write(f"The first frame must be Start, not {type(start).__name__}.\n")
        return EXIT_BAD_FRAME
    settings = settings_from_json(start.settings)
    logging.basicConfig(stream=sys.stderr, level=settings.verbosity, format="%(levelname)s %(name)s: %(message)s")
    inbox.start()
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))
    sources = scan_sources(_ROOT, settings)
    if start.known_catalog and sources.matches(start.known_catalog):
        outbox.send(CatalogPublished(start.known_catalog, [], []))
    # Everything below needs torch, whose import takes seconds; nothing above does.
    from engine.worker.assembly import assemble

    worker = assemble(start, settings, sources, outbox.send)
    # What is loaded now stays: without this, each full collection would walk the objects of torch and of all packs.
    gc.collect()
    gc.freeze()
    inbox.deliver_to(worker.loop.receive, worker.pong, worker.loop.finish_writing)
    outbox.send(worker.ready())
    worker.loop.run()
    return 0


def _exit(status: int) -> None:
    """Leave without waiting for threads: a node that never returns must not keep the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _exit(main())
