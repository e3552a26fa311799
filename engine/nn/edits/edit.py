"""The contract of a change of what a network computes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from torch import nn

__all__ = ["NetworkEdit"]


class NetworkEdit(Protocol):
    """Data on a model handle and part of its identity: forwards merge only under equal edits."""

    @property
    def identity(self) -> str:
        """Equal for equal edits."""
        ...

    def covers(self, sigma: float) -> bool:
        """Whether it applies at this noise level."""
        ...

    def applied(self, network: nn.Module) -> AbstractContextManager[None]:
        """Inside, the network computes the changed function; afterwards it is as before.

        Raises NodeError for a network the edit is not made for.
        """
        ...
