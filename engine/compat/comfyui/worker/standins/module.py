"""The module objects lent to packs: ordinary attributes, and a clear refusal for names that are not emulated."""

from __future__ import annotations

import opcode
import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from engine.compat.comfyui.worker.host import asking_pack

__all__ = ["MACHINERY", "StandIn", "not_emulated"]

MACHINERY = ("engine.", "importlib", "_frozen")
"""Beginnings of the names of modules through which a pack asks."""

_IMPORT_FROM = opcode.opmap["IMPORT_FROM"]


def not_emulated(name: str, pack: str) -> str:
    """The sentence for a missing name."""
    return f"{name} (wanted by {pack}) is not emulated by Atelier yet"


class StandIn(ModuleType):
    """A module made of `members`. Unknown names raise AttributeError, or ImportError in `from … import`.

    `missing`, when set, is asked first for something to give instead: (full name, asking frame) → it, or None.
    """

    __atelier_stand_in__ = True
    missing: Callable[[str, FrameType], Any] | None = None

    def __init__(self, name: str, doc: str = "", *, is_package: bool = False, **members: Any) -> None:
        super().__init__(name, doc)
        if is_package:
            vars(self)["__path__"] = []
        self.__all__ = [key for key in members if not key.startswith("_")]
        vars(self).update(members)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self.instead_of(name)

    def instead_of(self, name: str) -> Any:
        """What the pack's code that asks gets for a name the module does not have.

        Raises AttributeError or ImportError when that is nothing.
        """
        frame = sys._getframe(1)
        while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(MACHINERY):
            frame = frame.f_back
        full_name = f"{self.__name__}.{name}"
        found = self.missing(full_name, frame) if self.missing is not None else None
        if found is not None:
            return found
        if _is_from_import(frame):
            raise ImportError(not_emulated(full_name, asking_pack()), name=self.__name__)
        raise AttributeError(not_emulated(full_name, asking_pack()))


def _is_from_import(frame: Any) -> bool:
    """Whether `frame` is executing `from … import name` (Python would replace an AttributeError's text there)."""
    position = frame.f_lasti
    code = frame.f_code.co_code
    return 0 <= position < len(code) and code[position] == _IMPORT_FROM
