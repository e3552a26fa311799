from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from engine.api import Cancelled, NodeDefinition
from engine.compat.comfyui.worker import ClientEvent, Host, Installation, adapt_module, install
from engine.core.folders import Folders, default_model_folders
from engine.core.settings import Settings
from engine.protocol.messages import PackReport
from engine.worker.pack_loader import load_builtins, load_packs
from engine.worker.pack_sources import PackSource, find_builtin_modules

ROOT = Path(__file__).parents[3]
PACKS = ROOT / "tests" / "data" / "packs"


@dataclass
class RecordingContext:
    """A node context that remembers what the node told it."""

    node_id: str = "7"
    job_id: str = "job"
    call_index: int = 0
    client_id: str | None = "client"
    is_cancelled: bool = False
    progress_calls: list[tuple[float, float]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    images: list[torch.Tensor] = field(default_factory=list)

    def check_cancelled(self) -> None:
        if self.is_cancelled:
            raise Cancelled("The job was cancelled.")

    def progress(self, value: float, maximum: float, preview: torch.Tensor | None = None) -> None:
        self.check_cancelled()
        self.progress_calls.append((value, maximum))
        if preview is not None:
            self.images.append(preview)

    def text(self, text: str) -> None:
        self.texts.append(text)

    def send_image(self, image: torch.Tensor, index: int, total: int) -> None:
        self.images.append(image)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    models, output = tmp_path / "models", tmp_path / "output"
    packs = (tmp_path / "custom_nodes",)
    folders = Folders(
        tmp_path,
        tmp_path / "input",
        output,
        tmp_path / "temp",
        tmp_path / "user",
        packs,
        default_model_folders(models, output, packs),
    )
    for folder in (folders.input, output, folders.temp, folders.user, models / "loras", models / "checkpoints"):
        folder.mkdir(parents=True)
    return Settings(folders=folders)


@pytest.fixture
def events() -> list[ClientEvent]:
    return []


@pytest.fixture
def definitions() -> dict[str, NodeDefinition]:
    return {}


@pytest.fixture
def installed(
    settings: Settings, events: list[ClientEvent], definitions: dict[str, NodeDefinition]
) -> Iterator[Installation]:
    """The stand-in modules, over whatever `load` loads."""
    installation = install(Host(settings, MappingProxyType(definitions), send=events.append))
    yield installation
    installation.remove()


@dataclass(frozen=True)
class Loaded:
    definitions: dict[str, NodeDefinition]
    reports: list[PackReport]


LoadPack = Callable[..., Loaded]


@pytest.fixture
def load(installed: Installation, definitions: dict[str, NodeDefinition]) -> Iterator[LoadPack]:
    """Load sample packs by name through the worker's own loader, after the built-in nodes."""
    before = set(sys.modules)

    def go(*names: str) -> Loaded:
        load_builtins([(module, "") for module in find_builtin_modules(ROOT / "nodes")], definitions)
        packs = [(PackSource(name, PACKS / name), "v1") for name in names]
        return Loaded(definitions, load_packs(packs, adapt_module, definitions))

    yield go
    for name in set(sys.modules) - before:
        if name.startswith("custom_nodes."):
            del sys.modules[name]


def run(definition: Any, context: Any = None, **arguments: Any) -> Any:
    """Call an adapted node like the runner does."""
    return definition.function(**arguments, **{definition.context_parameter: context or RecordingContext()})
