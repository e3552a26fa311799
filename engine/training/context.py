"""What the parts of a model are built with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["BuildContext"]


@dataclass(frozen=True, slots=True)
class BuildContext:
    """folder: relative paths of recipes are below it. seed: the run's; first weights depend on it."""

    folder: Path
    seed: int = 0

    def path(self, path: Path) -> Path:
        """A recipe's path as one that can be opened."""
        return path if path.is_absolute() else self.folder / path
