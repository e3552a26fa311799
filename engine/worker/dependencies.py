"""What a graph depends on outside itself: the files its inputs name and the answers of fingerprint hooks."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.api import NodeDefinition
from engine.core.containment import resolve_inside
from engine.core.digest import canonical_json, digest_bytes
from engine.core.errors import AtelierError
from engine.core.folders import Folders
from engine.core.ids import NodeId
from engine.graph.fingerprint import FileDependency, file_dependencies
from engine.graph.graph import Graph, GraphNode
from engine.graph.schema import NodeSpec
from engine.worker.file_digests import FileDigests
from engine.worker.hooks import constants_of, hook_arguments

__all__ = ["Dependencies"]

_LOG = logging.getLogger(__name__)
_WORKING_FOLDERS = ("input", "output", "temp")
_NEVER_EQUAL = math.nan


class Dependencies:
    """Computes the `fingerprints` of a job or of an expansion. Any thread may ask.

    precision: the dtypes this worker was told to use, which decide what a weight file computes; values kept on disk
    by a worker of other dtypes are not its own. "" when it was told nothing.
    """

    def __init__(
        self,
        folders: Folders,
        definitions: Mapping[str, NodeDefinition],
        digests: FileDigests,
        precision: str = "",
    ) -> None:
        self._folders = folders
        self._definitions = definitions
        self._digests = digests
        self._precision = precision
        self._specs = {name: definition.spec for name, definition in definitions.items()}
        self._hooked = frozenset(name for name, spec in self._specs.items() if spec.has_fingerprint)

    def quick_fingerprints(self, graph: Graph, given: Mapping[NodeId, Any]) -> dict[NodeId, Any] | None:
        """As `fingerprints`, if it takes neither code of packs nor the reading of a file; None otherwise."""
        if given or (self._hooked and any(node.type in self._hooked for node in graph.nodes.values())):
            return None
        files = file_dependencies(graph, self._specs)
        return self._of_files(files) if all(map(self._is_known, files)) else None

    def fingerprints(self, graph: Graph, given: Mapping[NodeId, Any] | None = None) -> dict[NodeId, Any]:
        """Per node with outside dependencies, a JSON value that changes when they do; NaN in it never equals itself.

        `given` are fingerprints that came with the prompt (the client's `is_changed` entries); they replace the hook.
        A hook that fails, and an answer without a JSON form, count as never equal.
        """
        given = given or {}
        found = self._of_files(file_dependencies(graph, self._specs))
        for node_id, node in graph.nodes.items() if self._hooked or given else ():
            if node_id in given:
                found.setdefault(node_id, {})[""] = _json_form(given[node_id])
            elif node.type in self._hooked:
                found.setdefault(node_id, {})[""] = self._hook(node, self._specs[node.type])
        return found

    def _of_files(self, dependencies: Iterable[FileDependency]) -> dict[NodeId, Any]:
        found: dict[NodeId, Any] = {}
        for dependency in dependencies:
            found.setdefault(dependency.node, {})[dependency.input] = self._file(dependency)
        return found

    def _path(self, dependency: FileDependency) -> Path:
        if dependency.folder in _WORKING_FOLDERS:
            return resolve_inside(self._folders.root(dependency.folder), dependency.name)
        return self._folders.model_path(dependency.folder, dependency.name)

    def _is_known(self, dependency: FileDependency) -> bool:
        try:
            return self._digests.is_known(self._path(dependency))
        except (AtelierError, OSError):
            return True  # known to be unreadable, which `_file` says without reading

    def _file(self, dependency: FileDependency) -> str:
        try:
            digest = self._digests.digest(self._path(dependency))
            is_weights = dependency.folder not in _WORKING_FOLDERS
            return f"{digest} {self._precision}" if is_weights and self._precision else digest
        except (AtelierError, OSError):
            # The node itself reports a missing file when it runs; until then "missing" is what it depends on.
            return "missing"

    def _hook(self, node: GraphNode, spec: NodeSpec) -> Any:
        hook = self._definitions[node.type].fingerprint
        if hook is None:
            return None
        values = constants_of(node, spec, {"PROMPT": {}, "EXTRA_PNGINFO": None})
        try:
            answer = hook(**hook_arguments(hook, values))
            if inspect.iscoroutine(answer):
                answer.close()
                raise TypeError(f"the fingerprint of {node.type} is a coroutine function; it must be a plain one")
        except Exception:  # noqa: BLE001 - code of a pack; a hook that fails means "run the node"
            _LOG.warning("The fingerprint of node %s (%s) failed; it will run.", node.id, node.type, exc_info=True)
            return _NEVER_EQUAL
        return _json_form(answer)


def _json_form(value: Any) -> Any:
    if isinstance(value, bytes):
        return ["bytes", digest_bytes(value)]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # a numpy or torch scalar
    try:
        canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        return _NEVER_EQUAL
    return value
