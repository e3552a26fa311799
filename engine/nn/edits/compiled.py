"""A network compiled by torch before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.core.errors import AtelierError, NodeError
from engine.nn.layers import Conv2d

__all__ = ["CompileFailed", "Compiled"]

_MAX_REASON = 300


class CompileFailed(NodeError):
    """A compiled network raised. Whether its compiler is to blame shows when the plain one runs."""

    code = "compile_failed"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The same function, compiled by one of torch's backends ("inductor", "cudagraphs").

    torch keeps what it compiled for the code and shapes it has seen, so only the first steps of a new size take long;
    a second size makes it compile once more, for sizes that vary, and after eight versions it runs the code as it is.
    Layers whose weights are streamed are called between compiled parts. Not for a network that other edits change.
    """

    backend: str

    @property
    def identity(self) -> str:
        """Equal for equal edits: rounding differs from the plain network's."""
        return repr(self)

    def covers(self, sigma: float) -> bool:
        """At every level."""
        return True

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Run the network through the compiler; what is not about memory and comes from there is a CompileFailed."""
        for layer in network.modules():
            if isinstance(layer, Conv2d):
                layer.unpack()  # the compiler reads plain kernels, and packs them by itself
        before = network.__dict__.get("forward")
        compiled = torch.compile(network.forward, backend=self.backend)

        def forward(*arguments: Any, **named: Any) -> Any:
            try:
                # Otherwise torch takes a module's hooks for constant, and those that bring weights in come and go.
                with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):
                    return compiled(*arguments, **named)
            except (AtelierError, torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:
                raise _failure(error, self.backend) from error

        network.forward = forward
        try:
            yield
        finally:
            del network.forward
            if before is not None:
                network.forward = before


def _failure(error: Exception, backend: str) -> CompileFailed:
    cause = getattr(error, "inner_exception", None) or error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return CompileFailed(
        f"torch could not compile this model with {backend}: {lines[0][:_MAX_REASON]}",
        hint="Take the node out, or install a C++ compiler for this machine.",
    )
