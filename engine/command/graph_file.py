"""Reads a workflow, prompt or picture file for a command, and applies `--set NODE.INPUT=VALUE`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.core.errors import GraphError
from engine.graph.compile import compile_workflow
from engine.graph.embedded import read_graph_file
from engine.graph.prompt import parse_prompt, to_prompt
from engine.graph.schema import Catalog

__all__ = ["LoadedGraph", "apply_setting", "load_graph"]


class LoadedGraph:
    """A compiled file: `prompt` as API JSON, and the workflow it came from, if any."""

    def __init__(self, prompt: dict[str, Any], workflow: Mapping[str, Any] | None) -> None:
        self.prompt = prompt
        self.workflow = workflow


def load_graph(path: Path, catalog: Catalog) -> LoadedGraph:
    """Read and compile a file. Raises GraphError naming the file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GraphError(f"{path} cannot be read: {error.strerror}.", hint="Check the path.") from error
    document = read_graph_file(data)
    if document.workflow is not None:
        return LoadedGraph(to_prompt(compile_workflow(document.workflow, catalog)), document.workflow.save())
    return LoadedGraph(to_prompt(parse_prompt(document.prompt)), None)


def apply_setting(prompt: dict[str, Any], setting: str) -> None:
    """Apply one `NODE.INPUT=VALUE` in place, where NODE is an id, a title or a node type that occurs once.

    VALUE is JSON, or text where it is not. Raises GraphError naming what does exist.
    """
    target, equals, text = setting.partition("=")
    node_name, dot, input_name = target.rpartition(".")
    if not equals or not dot:
        raise GraphError(f"--set {setting!r} is not of the form NODE.INPUT=VALUE.")
    node_id = _find_node(prompt, node_name)
    inputs = prompt[node_id]["inputs"]
    if input_name not in inputs:
        known = difflib.get_close_matches(input_name, inputs, n=1) or sorted(inputs)
        raise GraphError(
            f"Node {node_name!r} has no input {input_name!r}.",
            node=node_id,
            input=input_name,
            hint=f"It has: {', '.join(known)}.",
        )
    inputs[input_name] = _value(text, inputs[input_name])


def _value(text: str, current: Any) -> Any:
    """The typed value: text stays text where the input holds text, else JSON where it parses."""
    if isinstance(current, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _find_node(prompt: Mapping[str, Any], name: str) -> str:
    if name in prompt:
        return name
    by_title = [key for key, node in prompt.items() if node.get("_meta", {}).get("title") == name]
    matches = by_title or [key for key, node in prompt.items() if node["class_type"] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise GraphError(
            f"{len(matches)} nodes are called {name!r}.", hint=f"Use an id instead: {', '.join(sorted(matches))}."
        )
    titles = sorted({node.get("_meta", {}).get("title") or node["class_type"] for node in prompt.values()})
    close = difflib.get_close_matches(name, titles, n=3) or titles[:20]
    raise GraphError(f"There is no node {name!r}.", hint=f"Nodes here: {', '.join(close)}.")
