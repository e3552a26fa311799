"""Files with sizes that no network has: one place that makes a typed error of whatever reading them breaks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from engine.core.errors import CheckpointError
from engine.memory.device import is_out_of_memory
from engine.weights.checkpoint import Checkpoint

__all__ = ["refusing_odd_sizes"]

_MAX_NAMED = 3
_log = logging.getLogger(__name__)


@contextmanager
def refusing_odd_sizes(files: Sequence[Checkpoint]) -> Iterator[None]:
    """Read the sizes of networks from these files within it.

    Those who read sizes take the shapes for those of a network: they divide by widths and ask for the first axis. A
    file made to break them, or damaged, breaks them in many ways, of which each becomes a CheckpointError here that
    names the file and its oddest tensors. Memory that is used up and faults of the device stay what they
    are.
    """
    try:
        yield
    except torch.AcceleratorError:
        raise
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        _log.info("Opening failed; if the file is sound, it is this program's fault.", exc_info=error)
        names = " and ".join(dict.fromkeys(file.path.name for file in files))
        odd = [key for file in files for key, shape in file.shapes.items() if not shape or 0 in shape]
        found = f", such as {', '.join(odd[:_MAX_NAMED])} without a size" if odd else ""
        raise CheckpointError(
            f"{names}: the sizes of its tensors are those of no network{found}.",
            code="checkpoint_sizes",
            hint="The file is damaged, or made by a tool that changed its shapes; download it again.",
            details={"keys": odd[:50], "cause": repr(error)},
        ) from error
