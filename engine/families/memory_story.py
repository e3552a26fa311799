"""The memory story of a job: what came to the device, what left it and why, and what is where in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from engine.memory.network import NetworkHost

__all__ = ["told"]

_MAX_CHANGES = 100


def told(hosts: Sequence[NetworkHost], position: int) -> dict[str, Any]:
    """{changes: [{number, kind, what, num_bytes, why}], num_changes, devices: [as `NetworkHost.describe`]}.

    `changes` are the newest hundred of all since `position`; `engine.memory.ledger.KINDS` says what the kinds mean.
    Jobs that run side by side share the device, so each one's story tells of the others' networks too.
    """
    ledgers = {id(host.ledger): host.ledger for host in hosts}
    changes = [change for ledger in ledgers.values() for change in ledger.since(position)]
    return {
        "changes": [asdict(change) for change in changes[-_MAX_CHANGES:]],
        "num_changes": len(changes),
        "devices": [host.describe() for host in hosts],
    }
