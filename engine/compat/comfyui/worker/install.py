"""Lends packs the modules they import: puts stand-ins into `sys.modules`, and takes them out again."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from engine.compat.comfyui.worker.host import Host, asking_pack
from engine.compat.comfyui.worker.standins import build_modules
from engine.compat.comfyui.worker.standins.module import not_emulated
from engine.compat.comfyui.worker.standins.placeholders import Placeholders

__all__ = ["Installation", "install"]

_LOG = logging.getLogger(__name__)
_OWN_PACKAGE = "nodes"
_PREFIXES = ("comfy", "comfy_extras", "comfy_api", "comfy_execution", "comfy_api_nodes", "comfy_config")


@dataclass
class Installation:
    """The installed stand-ins; `remove` restores what was there before."""

    host: Host
    names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    _finder: importlib.abc.MetaPathFinder | None = None
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def remove(self) -> None:
        """Take the stand-ins out of `sys.modules` again. Idempotent."""
        for step in reversed(self._undo):
            step()
        self._undo.clear()
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)  # type: ignore[arg-type]


def install(host: Host) -> Installation:
    """Install the stand-in modules for `host`.

    A top-level name that is really installed (or already imported from elsewhere) is left alone and named in
    `skipped`. Our own package `nodes` keeps its submodules and gains the attributes packs expect of a module of that
    name. Importing a module of the emulated families that has no stand-in raises an ImportError that says so.
    """
    modules = build_modules(host)
    taken = {name for name in {key.split(".")[0] for key in modules} - {_OWN_PACKAGE} if _is_real(name)}
    for name in sorted(taken):
        _LOG.warning("module %s is installed on this machine; packs get it instead of the stand-in", name)
    installation = Installation(host, skipped=tuple(sorted(taken)))
    names = []
    for name, module in modules.items():
        if name.split(".")[0] in taken:
            continue
        if name == _OWN_PACKAGE:
            _extend_own_package(module, installation._undo)
        else:
            _place(name, module, installation._undo)
        names.append(name)
    installation.names = tuple(names)
    placeholders = Placeholders(host)
    for module in modules.values():
        module.missing = placeholders.attribute
    finder = _NotEmulatedFinder(tuple(prefix for prefix in _PREFIXES if prefix not in taken), placeholders)
    installation._undo.append(finder.forget_modules)
    installation._finder = finder
    sys.meta_path.append(finder)
    return installation


def _is_real(name: str) -> bool:
    loaded = sys.modules.get(name)
    if loaded is not None:
        return not getattr(loaded, "__atelier_stand_in__", False)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    # A bare folder that happens to lie on the path is a namespace package, not an installed module.
    return spec is not None and spec.origin is not None


def _place(name: str, module: ModuleType, undo: list[Callable[[], None]]) -> None:
    previous = sys.modules.get(name)
    sys.modules[name] = module

    def restore() -> None:
        if sys.modules.get(name) is module:
            if previous is None:
                del sys.modules[name]
            else:
                sys.modules[name] = previous

    undo.append(restore)
    parent, _, child = name.rpartition(".")
    if parent and parent in sys.modules and getattr(sys.modules[parent], "__atelier_stand_in__", False):
        setattr(sys.modules[parent], child, module)


def _extend_own_package(stand_in: ModuleType, undo: list[Callable[[], None]]) -> None:
    """Attach the stand-in's names to our own package `nodes`, leaving everything it has as it is."""
    package = importlib.import_module(_OWN_PACKAGE)
    added: dict[str, Any] = {
        name: value for name, value in vars(stand_in).items() if not name.startswith("_") and name not in vars(package)
    }
    added["__getattr__"] = stand_in.__getattr__
    vars(package).update(added)

    def restore() -> None:
        for name, value in added.items():
            if vars(package).get(name) is value:
                delattr(package, name)

    undo.append(restore)


class _NotEmulatedFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last on the path: modules of the emulated families that have no stand-in are placeholders, or do not exist."""

    def __init__(self, prefixes: tuple[str, ...], placeholders: Placeholders) -> None:
        self._prefixes = prefixes
        self._placeholders = placeholders
        self._made: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """None for foreign names; raises ModuleNotFoundError for ours where no placeholder is wanted."""
        if fullname.split(".")[0] not in self._prefixes:
            return None
        if self._placeholders.wants_module():
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        raise ModuleNotFoundError(not_emulated(fullname, asking_pack()), name=fullname)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """A module of placeholders."""
        self._made.append(spec.name)
        return self._placeholders.module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""

    def forget_modules(self) -> None:
        """Take the placeholders out of `sys.modules` again."""
        for name in self._made:
            sys.modules.pop(name, None)
