"""The largest value a node may make.

Batch sizes, factors and sides multiply: a graph of three nodes can ask for terabytes. Whoever multiplies sizes asks
here first, so that the job ends with a sentence instead of the worker being killed by the system.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.core.errors import NodeError
from engine.memory.device import cpu_device, memory_facts

__all__ = ["MAX_TEXT_CHARACTERS", "ROOM_SHARE", "require_room", "require_text_room"]

ROOM_SHARE = 0.5
"""Part of the memory this process may use (a container's limit included) that one value may take; the other part is
left to the node's inputs and to the copies made on the way."""
MAX_TEXT_CHARACTERS = 64 << 20
"""Longest text a node makes."""

_ALWAYS_FITS_BYTES = 64 << 20
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def require_room(
    shape: Sequence[int], input: str, *, bytes_per_value: int = 4, memory_bytes: int | None = None
) -> tuple[int, ...]:
    """`shape` itself when a tensor of it may be made, else NodeError; call it before anything is allocated.

    Args:
        shape: what is going to be made, as long as it may become.
        input: the input that makes it large; the error names it.
        bytes_per_value: 4 for float32.
        memory_bytes: the memory to go by; None for what this process may use.

    Raises NodeError (result_too_large) for more than ROOM_SHARE of the memory.
    """
    wanted = math.prod(shape) * bytes_per_value
    if wanted <= _ALWAYS_FITS_BYTES and memory_bytes is None:
        return tuple(shape)
    total = memory_facts(cpu_device()).total_bytes if memory_bytes is None else memory_bytes
    allowed = int(total * ROOM_SHARE)
    if wanted <= allowed:
        return tuple(shape)
    raise NodeError(
        f"The result would have {'×'.join(map(str, shape))} values and take {_amount(wanted)}; "
        f"one value may take {_amount(allowed)} on this machine, half of its memory.",
        code="result_too_large",
        hint=f"Lower {input}, or give this node smaller or fewer items and work in several parts.",
        input=input,
        details={"shape": list(shape), "wanted_bytes": wanted, "allowed_bytes": allowed},
    )


def require_text_room(length: int, input: str) -> None:
    """Raise NodeError (text_too_long) about `input` for a text of at least `length` characters that is too long."""
    if length > MAX_TEXT_CHARACTERS:
        raise NodeError(
            f"The result would have {length} characters, the limit is {MAX_TEXT_CHARACTERS}.",
            code="text_too_long",
            hint=f"Make {input} shorter.",
            input=input,
        )


def _amount(num_bytes: int) -> str:
    """A number of bytes in the largest unit that leaves at least one of it."""
    power = min(max(num_bytes.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{num_bytes / (1 << 10 * power):.3g} {_UNITS[power]}"
