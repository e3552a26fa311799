"""The worker's model library, made when the first node asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["FreeableLibrary", "ModelRoom"]


class FreeableLibrary(Protocol):
    """What a model library can do for the worker itself."""

    def free(self) -> None:
        """Unload all networks and forget the open files."""
        ...

    def memory_position(self) -> int:
        """Where the story of the memory stands now."""
        ...

    def memory_story(self, position: int) -> dict[str, Any]:
        """What happened to the weights since a position, as plain JSON."""
        ...

    def take_held(self) -> int:
        """The most bytes a forward of the calling thread held since it was last asked for."""
        ...


Library = TypeVar("Library", bound=FreeableLibrary)


class ModelRoom(Generic[Library]):
    """Makes the library once, on the thread that needs it first: graphs without models do not pay for one."""

    def __init__(self, make: Callable[[], Library]) -> None:
        self._make = make
        self._library: Library | None = None
        self._lock = threading.Lock()

    def library(self) -> Library:
        """The library. Raises what making it raises, each time it is asked until it succeeds."""
        with self._lock:
            if self._library is None:
                self._library = self._make()
            return self._library

    def free(self) -> None:
        """Unload everything, if there is anything."""
        library = self._made()
        if library is not None:
            library.free()

    def memory_position(self) -> int:
        """Where the story of the memory stands now; 0 before there is a library."""
        library = self._made()
        return 0 if library is None else library.memory_position()

    def memory_story(self, position: int) -> dict[str, Any]:
        """What happened to the weights since a position; nothing where no library was made."""
        library = self._made()
        return {} if library is None else library.memory_story(position)

    def take_held(self) -> int:
        """The most bytes a forward of the calling thread held since it was last asked for."""
        library = self._made()
        return 0 if library is None else library.take_held()

    def _made(self) -> Library | None:
        with self._lock:
            return self._library
