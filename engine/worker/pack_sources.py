"""Which node modules and packs there are, and digests of their source text. Imports none of them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.core.digest import digest_bytes
from engine.core.settings import PackSettings, Settings

__all__ = [
    "BuiltinModule",
    "PackSource",
    "Sources",
    "builtin_versions",
    "engine_digest",
    "find_builtin_modules",
    "find_packs",
    "pack_digest",
    "scan_sources",
]

_IMPORT = re.compile(
    rb"^[ \t]*(?:from|import)[ \t]+(nodes(?:\.\w+)*)(?:[ \t]+import[ \t]+(?:\(([^)]*)\)|([\w, \t]+)))?", re.MULTILINE
)
_PARTS_THAT_COMPUTE_NOTHING = frozenset(
    {"command", "compat", "core", "execution", "graph", "protocol", "server", "worker"}
)
"""Sub-packages of the engine that decide when and where a node runs, never what it computes."""


@dataclass(frozen=True, slots=True)
class BuiltinModule:
    """A module of built-in nodes: its dotted name below `nodes` and its file."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class PackSource:
    """A custom node pack on disk: a folder with `__init__.py`, or a single file. `path` is the folder or the file."""

    name: str
    path: Path

    @property
    def entry(self) -> Path:
        """The file that is imported."""
        return self.path / "__init__.py" if self.path.is_dir() else self.path

    @property
    def prestartup_script(self) -> Path | None:
        """The script that runs before any pack is imported, or None."""
        script = self.path / "prestartup_script.py"
        return script if self.path.is_dir() and script.is_file() else None


def find_builtin_modules(root: Path) -> tuple[BuiltinModule, ...]:
    """Every module below the folder of built-in nodes, sorted by name; `root` is the folder `nodes`."""
    found = []
    for path in _python_files(root):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] != "__init__":
            found.append(BuiltinModule(".".join(("nodes", *parts)), path))
    return tuple(sorted(found, key=lambda module: module.name))


def find_packs(roots: Iterable[Path], settings: PackSettings) -> tuple[PackSource, ...]:
    """The packs to load, sorted by name within each root; of two with one name the first root's is taken.

    Hidden and private entries, names ending in `.disabled`, and folders without any Python file are no packs.
    """
    found: dict[str, PackSource] = {}
    for root in roots:
        for path in sorted(root.iterdir(), key=lambda item: item.name.lower()) if root.is_dir() else ():
            name = path.stem if path.suffix == ".py" and path.is_file() else path.name
            if _is_pack(path) and _is_allowed(path, name, settings):
                found.setdefault(name, PackSource(name, path))
    return tuple(found.values())


def _is_pack(path: Path) -> bool:
    if path.name.startswith((".", "__")) or path.name.endswith(".disabled"):
        return False
    if path.is_dir():
        return any(path.glob("*.py"))
    return path.suffix == ".py"


def _is_allowed(path: Path, name: str, settings: PackSettings) -> bool:
    return not settings.disable_all or name in settings.allowed or path.name in settings.allowed


def pack_digest(source: PackSource) -> str:
    """Digest of all Python files of a pack with their names; moving the pack does not change it."""
    if source.path.is_file():
        return digest_bytes(source.path.read_bytes())
    return _digest_tree(source.path, _python_files(source.path))


def engine_digest(engine: Path) -> str:
    """Digest of the engine's computing parts and of the Python version; `engine` is the folder of the package."""
    files = [engine / "graph" / "schema.py"]
    for part in sorted(path for path in engine.iterdir() if path.is_dir()):
        if part.name not in _PARTS_THAT_COMPUTE_NOTHING:
            files.extend(_python_files(part))
    version = ".".join(map(str, sys.version_info[:2])).encode()
    return digest_bytes(version, _digest_tree(engine, files).encode())


def builtin_versions(modules: Iterable[BuiltinModule], engine: str) -> Mapping[str, str]:
    """Per built-in module a digest of it, of the `nodes` modules it imports (transitively), and of the engine.

    Editing one module changes the version of its own nodes and of nodes built on it, and no others.
    """
    sources = {module.name: module.path.read_bytes() for module in modules}
    imports = {name: _imported_modules(text) & sources.keys() for name, text in sources.items()}
    versions = {}
    for name in sources:
        reached, open_names = {name}, [name]
        while open_names:
            fresh = imports[open_names.pop()] - reached
            reached |= fresh
            open_names.extend(fresh)
        parts = [part for member in sorted(reached) for part in (member.encode(), sources[member])]
        versions[name] = digest_bytes(engine.encode(), *parts)
    return versions


def _imported_modules(source: bytes) -> set[str]:
    found = set()
    for module, in_brackets, in_line in _IMPORT.findall(source):
        found.add(module.decode())
        found.update(
            f"{module.decode()}.{name.decode()}" for name in re.split(rb"[\s,]+", in_brackets or in_line) if name
        )
    return found


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything there is to load, with versions; `digest` stands for all of it."""

    builtins: tuple[tuple[BuiltinModule, str], ...]
    packs: tuple[tuple[PackSource, str], ...]
    digest: str

    def matches(self, catalog_digest: str) -> bool:
        """Whether a published catalog (its digest is `<sources>-<specs>`) was made from these sources."""
        return catalog_digest.partition("-")[0] == self.digest


def scan_sources(root: Path, settings: Settings) -> Sources:
    """Read the built-in modules below `root/nodes`, the engine below `root/engine` and the packs of the settings."""
    engine = engine_digest(root / "engine")
    modules = find_builtin_modules(root / "nodes")
    versions = builtin_versions(modules, engine)
    packs = []
    for source in find_packs(settings.folders.custom_nodes, settings.packs):
        packs.append((source, digest_bytes(engine.encode(), pack_digest(source).encode())))
    parts = [*versions.values(), *(f"{source.name}={version}" for source, version in packs)]
    digest = digest_bytes(*(part.encode("utf-8", "surrogatepass") for part in parts))
    return Sources(tuple((module, versions[module.name]) for module in modules), tuple(packs), digest)


def _python_files(root: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__pycache__")))
        for name in sorted(files):
            if name.endswith(".py") and not name.startswith("."):
                yield Path(folder, name)


def _digest_tree(root: Path, files: Iterable[Path]) -> str:
    parts = []
    for path in files:
        parts.append(path.relative_to(root).as_posix().encode("utf-8", "surrogateescape"))
        parts.append(path.read_bytes())
    return digest_bytes(*parts)
