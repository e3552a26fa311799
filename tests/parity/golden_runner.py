"""Runs stored reference prompts through node functions and the batcher, and compares the latents."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nodes
from engine.api import NodeDefinition
from engine.families.model_store import ModelStore
from engine.families.registry import find_families
from engine.memory.device import cpu_device
from engine.memory.network import NetworkHost
from engine.worker.batcher import Batcher, Forward

__all__ = ["CASES", "GoldenRunner", "definitions", "relative_error", "runnable", "stored_latent"]

DATA = Path(__file__).parents[1] / "data"
GOLDENS = DATA / "reference" / "goldens"
CASES: Mapping[str, Any] = json.loads((GOLDENS / "sd15_cases.json").read_text(encoding="utf-8"))
BUDGET_BYTES = 6 << 30


@cache
def definitions() -> dict[str, NodeDefinition]:
    """Every built-in node by its name."""
    found = {}
    for module in pkgutil.iter_modules(nodes.__path__, "nodes."):
        for value in vars(importlib.import_module(module.name)).values():
            definition = getattr(value, "__node__", None)
            if isinstance(definition, NodeDefinition):
                found[definition.spec.name] = definition
    return found


def runnable(case: str) -> bool:
    """Whether every node of a case exists and offers every choice the case makes."""
    for item in CASES[case]["prompt"].values():
        if item["class_type"] == "SaveLatent":
            continue
        definition = definitions().get(item["class_type"])
        if definition is None:
            return False
        for wanted in definition.spec.inputs:
            value = item["inputs"].get(wanted.name)
            if isinstance(wanted.choices, tuple) and value not in wanted.choices:
                return False
    return True


@cache
def _stored() -> Mapping[str, np.ndarray]:
    with np.load(GOLDENS / "sd15_latents.npz") as archive:
        return {name: archive[name] for name in archive.files}


def stored_latent(case: str) -> np.ndarray:
    """The latent the reference saved."""
    return _stored()[case]


def relative_error(ours: torch.Tensor, stored: np.ndarray) -> float:
    """‖ours - stored‖ / ‖stored‖."""
    return float(np.linalg.norm(ours.numpy() - stored) / np.linalg.norm(stored))


@dataclass
class GoldenContext:
    """What the nodes of the cases ask of a context."""

    models: ModelStore
    folder: Path
    preview_method: str = "none"
    warnings: list[str] = field(default_factory=list)
    steps: list[tuple[float, float]] = field(default_factory=list)

    def model_path(self, folder: str, name: str) -> Path:
        return self.folder / name

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def progress(self, value: float, maximum: float, preview: torch.Tensor | None = None) -> None:
        self.steps.append((value, maximum))


class GoldenRunner:
    """Evaluates prompts with one open checkpoint; equal nodes of different prompts are computed once."""

    def __init__(self, folder: Path) -> None:
        self.forwards: list[Forward] = []
        host = NetworkHost(cpu_device(), BUDGET_BYTES)
        store = ModelStore({"network": host, "vae": host, "text_encoder": host}, find_families())
        self.ctx = GoldenContext(store, folder)
        self.batcher = Batcher(on_forward=self.forwards.append)
        self._known: dict[str, tuple[Any, ...]] = {}

    def latent(self, case: str) -> torch.Tensor:
        """What the case's SaveLatent would save."""
        result = self.latents([case])[case]
        if isinstance(result, BaseException):
            raise result
        return result

    def latents(self, cases: Iterable[str]) -> dict[str, torch.Tensor | BaseException]:
        """Several cases at once, their samplers running side by side in the batcher."""
        results: dict[str, torch.Tensor | BaseException] = {}
        with torch.inference_mode():
            for case in cases:
                self._submit_last(case, results)
            while self.batcher.step():
                pass
        return results

    def _submit_last(self, case: str, results: dict[str, Any]) -> None:
        prompt = CASES[case]["prompt"]
        save = next(item for item in prompt.values() if item["class_type"] == "SaveLatent")
        name, slot = save["inputs"]["samples"]
        source = prompt[name]
        definition = definitions()[source["class_type"]]
        arguments = self._arguments(prompt, source, definition)
        if not definition.is_generator:
            results[case] = definition.function(**arguments)["samples"]
            return

        def done(value: Any) -> None:
            results[case] = (value[slot] if isinstance(value, tuple) else value)["samples"]

        self.batcher.submit(case, definition.function(**arguments), done, partial(results.__setitem__, case))

    def _outputs(self, prompt: Mapping[str, Any], node: str) -> tuple[Any, ...]:
        key = json.dumps(_closure(prompt, node), sort_keys=True)
        if key not in self._known:
            item = prompt[node]
            definition = definitions()[item["class_type"]]
            value = definition.function(**self._arguments(prompt, item, definition))
            if definition.is_generator:
                value = self._driven(value)
            self._known[key] = value if isinstance(value, tuple) else (value,)
        return self._known[key]

    def _driven(self, flow: Any) -> Any:
        results: list[Any] = []
        self.batcher.submit("upstream", flow, results.append, _fail)
        while not results:
            self.batcher.step()
        return results[0]

    def _arguments(
        self, prompt: Mapping[str, Any], item: Mapping[str, Any], definition: NodeDefinition
    ) -> dict[str, Any]:
        arguments = {
            name: self._outputs(prompt, value[0])[value[1]] if isinstance(value, list) else value
            for name, value in item["inputs"].items()
        }
        names = inspect.signature(definition.function).parameters
        arguments = {name: value for name, value in arguments.items() if name in names}
        if definition.context_parameter is not None:
            arguments[definition.context_parameter] = self.ctx
        return arguments


def _closure(prompt: Mapping[str, Any], node: str) -> Any:
    """A node with everything upstream, as a nested value."""
    item = prompt[node]
    return [
        item["class_type"],
        {
            name: [_closure(prompt, value[0]), value[1]] if isinstance(value, list) else value
            for name, value in item["inputs"].items()
        },
    ]


def _fail(error: BaseException) -> None:
    raise error
