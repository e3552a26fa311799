"""Finding the families that are there, and the one a file belongs to."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.families.contract import Family, FamilyMatch
from engine.families.known_layouts import describe_layout

__all__ = ["FamilyRegistry", "find_families"]

_FOLDER = Path(__file__).parent
_MODULE = "family"


@dataclass(frozen=True, slots=True)
class FamilyRegistry:
    """The families of an installation, by folder name."""

    families: Mapping[str, Family]

    def detect(self, file_name: str, shapes: Mapping[str, tuple[int, ...]]) -> FamilyMatch:
        """The family whose layout a file has.

        Raises CheckpointError saying what was found when none recognises it, or more than one does.
        """
        matches = [match for family in self.families.values() if (match := family.detect(shapes)) is not None]
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = " and ".join(sorted(match.family for match in matches))
            raise CheckpointError(
                f"{file_name} is claimed by several families: {names}.",
                code="ambiguous_checkpoint",
                hint="Remove the family folder that was added last.",
            )
        raise CheckpointError(
            f"{file_name} is not a checkpoint this version can open: it looks like {describe_layout(shapes)}.",
            code="unknown_checkpoint",
            hint=f"Families that can be opened: {', '.join(sorted(self.families))}.",
            details={"groups": dict(_groups(shapes).most_common(10))},
        )

    def family(self, match: FamilyMatch) -> Family:
        """The family of a match."""
        return self.families[match.family]


def find_families(extra_folders: Iterable[Path] = ()) -> FamilyRegistry:
    """Import `family.py` of every folder beside this file and of every folder in `extra_folders`.

    Raises ImportError when one cannot be imported, ValueError when two have the same name.
    """
    found: dict[str, Family] = {}
    for path in sorted(_FOLDER.glob(f"*/{_MODULE}.py")):
        module = importlib.import_module(f"{__package__}.{path.parent.name}.{_MODULE}")
        _add(found, module.family(), path)
    for folder in extra_folders:
        for path in sorted(folder.glob(f"*/{_MODULE}.py")):
            _add(found, _import_file(path).family(), path)
    return FamilyRegistry(found)


def _add(found: dict[str, Family], family: Family, path: Path) -> None:
    if family.name in found:
        raise ValueError(f"{path}: there already is a family called {family.name!r}")
    found[family.name] = family


def _import_file(path: Path) -> ModuleType:
    """Import a folder from outside the package under a name of its own, so that its modules find each other."""
    package = f"atelier_family_{path.parent.name}_{digest_bytes(str(path).encode())[:8]}"
    if f"{package}.{_MODULE}" not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(path.parent)]
    return importlib.import_module(f"{package}.{_MODULE}")


def _groups(shapes: Mapping[str, tuple[int, ...]]) -> Counter[str]:
    """How many tensors begin with each pair of names."""
    return Counter(".".join(key.split(".")[:2]) for key in shapes)
