"""A port for a server that is stopped and started again on it."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

__all__ = ["own_port"]

_PORTS = range(10_000, 30_000)
"""Below what systems give to those who ask for any port: nobody takes the port while its server is down."""


def own_port() -> int:
    """A port on which nobody listens, and which nobody is given by chance."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
