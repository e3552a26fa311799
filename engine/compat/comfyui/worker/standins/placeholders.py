"""What packs get at import for names that are not emulated: something that fails when it is used, and not before.

Most packs import more than any one of their nodes needs. A name that is missing therefore must not cost the whole pack,
but only the nodes that call it, and they say which name it was.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from engine.compat.comfyui.worker.host import Host, asking_pack_folder
from engine.compat.comfyui.worker.standins.module import MACHINERY, StandIn, not_emulated
from engine.core.errors import NodeError

__all__ = ["Placeholders"]

_CO_OPTIMIZED = 0x1
_CAUGHT = frozenset({"ImportError", "ModuleNotFoundError", "AttributeError", "Exception", "BaseException"})
_PROBES = frozenset({"hasattr", "getattr", "suppress", "find_spec"})


class Placeholders:
    """Makes placeholders while packs load. A pack that asks in a way that expects failure is told the truth instead.

    `try: … except ImportError`, `hasattr` and their like choose a way round what is missing, so they get the error.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._guards: dict[str, tuple[tuple[int, int], ...] | None] = {}

    def wants_module(self) -> bool:
        """Whether the import in progress, of a module that is not emulated, is to succeed."""
        frame = _importing_frame(sys._getframe(1))
        return frame is not None and not self._host.is_announced and not self._expects_failure(frame)

    def module(self, name: str) -> StandIn:
        """A module of placeholders."""
        self._note(name)
        made = StandIn(name, is_package=True)

        def member(full_name: str, frame: FrameType) -> Any:
            if self._expects_failure(frame):
                return None
            found = vars(made)[full_name.rpartition(".")[2]] = _placeholder(full_name, asking_pack_folder())
            return found

        made.missing = member
        return made

    def attribute(self, name: str, frame: FrameType) -> Any:
        """The placeholder for `name`, asked for while `frame` is imported; None where an error is the right answer."""
        is_import_time = not frame.f_code.co_flags & _CO_OPTIMIZED
        if (
            self._host.is_announced
            or not is_import_time
            or _importing_frame(frame) is None
            or self._expects_failure(frame)
        ):
            return None
        self._note(name)
        return _placeholder(name, asking_pack_folder())

    def _expects_failure(self, frame: FrameType) -> bool:
        """Whether the running line stands in a `try` that catches such errors, or probes for a name.

        Code whose text is not at hand may do either.
        """
        file = frame.f_code.co_filename
        if file not in self._guards:
            self._guards[file] = _guarded_lines("".join(linecache.getlines(file, frame.f_globals)))
        guards = self._guards[file]
        return guards is None or any(first <= frame.f_lineno <= last for first, last in guards)

    def _note(self, name: str) -> None:
        self._host.lacking.setdefault(asking_pack_folder(), {})[name] = None


# ------------------------------------------------------------------ who asks, and how


def _importing_frame(frame: FrameType | None) -> FrameType | None:
    """The frame of a pack's code on whose behalf something is imported; None when no pack is being imported."""
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(MACHINERY):
        frame = frame.f_back
    asking, is_pack = frame, False
    while frame is not None and not is_pack:
        is_pack = str(frame.f_globals.get("__name__", "")).startswith("custom_nodes.")
        frame = frame.f_back
    return asking if is_pack else None


def _guarded_lines(text: str) -> tuple[tuple[int, int], ...] | None:
    """First and last lines of what may fail without harm; None when the text says nothing."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    return tuple(span for node in ast.walk(tree) if (span := _guarded_by(node))) if text else None


def _guarded_by(node: ast.AST) -> tuple[int, int] | None:
    if isinstance(node, ast.Try) and any(_catches(handler.type) for handler in node.handlers):
        return _span(node.body)
    if isinstance(node, ast.With) and any(_probes(item.context_expr) for item in node.items):
        return _span(node.body)
    return _span([node]) if isinstance(node, ast.Call) and _probes(node) else None


def _span(body: Sequence[ast.stmt | ast.expr]) -> tuple[int, int]:
    return body[0].lineno, body[-1].end_lineno or body[-1].lineno


def _catches(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(_last_name(item) in _CAUGHT for item in kinds)


def _probes(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Call) and _last_name(expression.func) in _PROBES


def _last_name(expression: ast.expr) -> str:
    return expression.attr if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")


# ------------------------------------------------------------------ the things themselves


def _placeholder(name: str, pack: str) -> type:
    """A class that can be named, subclassed, and written in annotations; every use of it raises NodeError."""
    namespace = {"__module__": name.rpartition(".")[0], "__doc__": not_emulated(name, pack), "_lacking": (name, pack)}
    return _Placeholder(name.rpartition(".")[2], (), namespace)


def _refuse(name: str, pack: str) -> NoReturn:
    raise NodeError(
        f"{not_emulated(name, pack)}.", code="not_emulated", hint="Use another node for this, or another pack."
    )


class _Placeholder(type):
    """The class of placeholder classes, and of the classes packs derive from them."""

    _lacking: tuple[str, str]

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        lacking, pack = cls._lacking
        return _placeholder(f"{lacking}.{name}", pack)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        _refuse(*cls._lacking)

    def __iter__(cls) -> Iterator[Any]:
        _refuse(*cls._lacking)

    def __getitem__(cls, key: Any) -> Any:
        _refuse(*cls._lacking)

    def __contains__(cls, key: Any) -> bool:
        _refuse(*cls._lacking)
