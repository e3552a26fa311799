"""Imports built-in node modules and custom node packs and collects their definitions. One bad pack stops no other."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import traceback
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Protocol

from engine.api import NodeDefinition
from engine.core.errors import NodeError
from engine.protocol.messages import PackReport
from engine.worker.pack_sources import BuiltinModule, PackSource

__all__ = ["BUILTIN_PACK", "AdaptModule", "definitions_of", "load_builtins", "load_packs"]

BUILTIN_PACK = "nodes"
_OLD_STYLE_MARKS = ("NODE_CLASS_MAPPINGS", "comfy_entrypoint")


class AdaptModule(Protocol):
    """Turns an imported old-style pack into definitions; what it leaves out is named in `problems`."""

    def __call__(
        self, module: ModuleType, pack_name: str, *, version: str, problems: list[str]
    ) -> Sequence[NodeDefinition]:
        """The definitions of a pack. Raises an AtelierError when it declares none."""
        ...


@dataclass(slots=True)
class _Loading:
    """One pack while it loads: what it declared so far and what went wrong on the way."""

    name: str
    path: str
    definitions: list[NodeDefinition] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str = ""
    web_directory: str = ""
    seconds: float = 0.0


def load_builtins(
    modules: Iterable[tuple[BuiltinModule, str]], definitions: MutableMapping[str, NodeDefinition]
) -> PackReport:
    """Import the built-in modules, each given with the version of its source, and add their nodes to `definitions`."""
    state = _Loading(BUILTIN_PACK, "")
    started = time.perf_counter()
    for source, version in modules:
        state.path = state.path or str(source.path.parent)
        try:
            module = importlib.import_module(source.name)
        except Exception:  # noqa: BLE001 - one broken module must not take the others with it; reported below
            state.error += f"{source.name}:\n{traceback.format_exc()}"
            continue
        for definition in definitions_of(module):
            # A function imported from another module belongs to that one.
            if definition.function.__module__ == source.name:
                state.definitions.append(_stamped(definition, version, BUILTIN_PACK, source.name))
    state.seconds = time.perf_counter() - started
    return _add(state, definitions)


def load_packs(
    packs: Sequence[tuple[PackSource, str]],
    adapt_module: AdaptModule | None,
    definitions: MutableMapping[str, NodeDefinition],
) -> list[PackReport]:
    """Import packs, each given with the version of its source, and add their nodes to `definitions`.

    Every prestartup script runs before the first pack is imported. `adapt_module` is None when the compatibility layer
    is not installed; old-style packs then fail with a report that says so. A name that is taken stays with its first
    owner (built-ins are there already), and the later pack's report warns.
    """
    states = [_Loading(source.name, str(source.path)) for source, _ in packs]
    for (source, _), state in zip(packs, states):
        _run_prestartup_script(source, state)
    reports = []
    for (source, version), state in zip(packs, states):
        _load_pack(source, version, state, adapt_module)
        reports.append(_add(state, definitions))
    return reports


def definitions_of(module: ModuleType) -> list[NodeDefinition]:
    """The nodes a module declares or re-exports with the `node` decorator, in order, each once."""
    found: dict[int, NodeDefinition] = {}
    for value in list(vars(module).values()):
        definition = getattr(value, "__node__", None) if callable(value) else None
        if isinstance(definition, NodeDefinition):
            found[id(definition)] = definition
    return list(found.values())


def _stamped(definition: NodeDefinition, version: str, pack: str, module: str) -> NodeDefinition:
    return replace(definition, spec=replace(definition.spec, version=version, pack=pack, module=module))


def _run_prestartup_script(source: PackSource, state: _Loading) -> None:
    script = source.prestartup_script
    if script is None:
        return
    started = time.perf_counter()
    try:
        _import_file(f"custom_nodes.{_module_stem(source.name)}.prestartup_script", script, None)
    except BaseException:  # noqa: BLE001 - a script may call sys.exit; the pack itself may load nevertheless
        state.warnings.append(f"prestartup_script.py failed:\n{traceback.format_exc()}")
    state.seconds += time.perf_counter() - started


def _load_pack(source: PackSource, version: str, state: _Loading, adapt_module: AdaptModule | None) -> None:
    started = time.perf_counter()
    module_name = f"custom_nodes.{_module_stem(source.name)}"
    try:
        if not source.entry.is_file():
            raise NodeError(
                f"The folder {source.name} has no __init__.py.",
                code="bad_pack",
                hint="Add one, or rename the folder to end in .disabled.",
            )
        module = _import_file(module_name, source.entry, source.path if source.path.is_dir() else None)
        found = definitions_of(module)
        if any(hasattr(module, mark) for mark in _OLD_STYLE_MARKS):
            found += _adapted(module, source.name, version, state, adapt_module)
        elif not found and not hasattr(module, "WEB_DIRECTORY"):
            state.warnings.append("The pack declares no nodes.")
        state.definitions = [_stamped(definition, version, source.name, module_name) for definition in found]
        state.web_directory = _web_directory(source, module, state)
    except BaseException as error:  # noqa: BLE001 - a pack may call sys.exit while it is imported; it is reported
        state.error = _traceback_of(error)
        state.definitions = []
        _forget(module_name)
    state.seconds += time.perf_counter() - started


def _adapted(
    module: ModuleType, pack: str, version: str, state: _Loading, adapt_module: AdaptModule | None
) -> Sequence[NodeDefinition]:
    if adapt_module is None:
        raise NodeError(
            f"{pack} declares nodes in the NODE_CLASS_MAPPINGS form, and the compatibility layer is not installed.",
            code="bad_pack",
            hint="Install the complete program, or write the nodes with engine.api.",
        )
    return adapt_module(module, pack, version=version, problems=state.warnings)


def _traceback_of(error: BaseException) -> str:
    """The traceback of an import, without the frames of this file and of importlib."""
    lines = traceback.TracebackException.from_exception(error)
    lines.stack = traceback.StackSummary.from_list(
        [frame for frame in lines.stack if "importlib" not in frame.filename and frame.filename != __file__]
    )
    return "".join(lines.format())


def _import_file(name: str, path: Path, package_folder: Path | None) -> ModuleType:
    locations = [str(package_folder)] if package_folder is not None else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    # A module may replace itself in sys.modules while it is imported.
    return sys.modules.get(name, module)


def _forget(module_name: str) -> None:
    for name in [name for name in sys.modules if name == module_name or name.startswith(module_name + ".")]:
        sys.modules.pop(name, None)


def _module_stem(pack: str) -> str:
    """A folder name as one component of a dotted module name."""
    return pack.replace(".", "_x_")


def _web_directory(source: PackSource, module: ModuleType, state: _Loading) -> str:
    declared = getattr(module, "WEB_DIRECTORY", None)
    if not isinstance(declared, str) or not source.path.is_dir():
        return ""
    folder = (source.path / declared).resolve()
    root = source.path.resolve()
    if not folder.is_dir() or (folder != root and root not in folder.parents):
        state.warnings.append(f"WEB_DIRECTORY {declared!r} is not a folder inside the pack.")
        return ""
    return str(folder)


def _add(state: _Loading, definitions: MutableMapping[str, NodeDefinition]) -> PackReport:
    names = []
    for definition in state.definitions:
        name = definition.spec.name
        if name in definitions:
            owner = definitions[name].spec.pack
            state.warnings.append(f"Node {name} is left out: {owner or 'another pack'} has one of that name.")
            continue
        definitions[name] = definition
        names.append(name)
    return PackReport(state.name, state.path, names, state.seconds, state.error, state.web_directory, state.warnings)
