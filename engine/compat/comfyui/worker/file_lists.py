"""File listings that remember which folder they came from, so that the server can list it again by itself."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["FileList"]


class FileList(list):  # type: ignore[type-arg]
    """A plain list of file names for packs; `folder` is the model folder key it lists.

    Packs add, sort and concatenate such lists; whatever differs from the listing is an ordinary list of choices.
    """

    def __init__(self, names: Iterable[str], folder: str) -> None:
        super().__init__(names)
        self.folder = folder
        self._listed = tuple(self)

    @property
    def is_untouched(self) -> bool:
        """Whether it still is exactly what was listed."""
        return tuple(self) == self._listed
