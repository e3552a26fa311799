"""The module objects lent to packs: ordinary attributes, and a clear refusal for names that are not emulated."""

from __future__ import annotations

import opcode
import sys
from types import ModuleType
from typing import Any

from engine.compat.comfyui.worker.host import asking_pack

__all__ = ["StandIn", "not_emulated"]

_IMPORT_FROM = opcode.opmap["IMPORT_FROM"]


def not_emulated(name: str, pack: str) -> str:
    """The sentence for a missing name."""
    return f"{name} (wanted by {pack}) is not emulated by Atelier yet"


class StandIn(ModuleType):
    """A module made of `members`. Unknown names raise AttributeError, or ImportError in `from … import`."""

    __atelier_stand_in__ = True

    def __init__(self, name: str, doc: str = "", *, is_package: bool = False, **members: Any) -> None:
        super().__init__(name, doc)
        if is_package:
            vars(self)["__path__"] = []
        self.__all__ = [key for key in members if not key.startswith("_")]
        vars(self).update(members)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        sentence = not_emulated(f"{self.__name__}.{name}", asking_pack())
        if _is_from_import(sys._getframe(1)):
            raise ImportError(sentence, name=self.__name__)
        raise AttributeError(sentence)


def _is_from_import(frame: Any) -> bool:
    """Whether `frame` is executing `from … import name` (Python would replace an AttributeError's text there)."""
    position = frame.f_lasti
    code = frame.f_code.co_code
    return 0 <= position < len(code) and code[position] == _IMPORT_FROM
