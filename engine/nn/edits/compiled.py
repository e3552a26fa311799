"""A network compiled by torch before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from engine.core.errors import NodeError

__all__ = ["Compiled"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """The same function, compiled by one of torch's backends ("inductor", "cudagraphs").

    torch keeps what it compiled for the code and shapes it has seen, so only the first steps of a new size take long.
    Layers whose weights are streamed are called between compiled parts.
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
        """Run the network through the compiler; raises NodeError when the compiler fails."""
        before = network.__dict__.get("forward")
        network.forward = torch.compile(network.forward, backend=self.backend)
        try:
            yield
        except torch._dynamo.exc.BackendCompilerFailed as error:
            raise NodeError(
                f"torch could not compile this model with {self.backend}: {str(error).splitlines()[0][:300]}",
                code="compile_failed",
                hint="Take the node out, or install a C++ compiler for this machine.",
            ) from error
        finally:
            del network.forward
            if before is not None:
                network.forward = before
