"""Any file that carries a graph → the workflow or prompt in it: JSON, pictures, sounds, videos, meshes, latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.core.errors import GraphError
from engine.graph import image_metadata, media_metadata
from engine.graph.json_text import load_json
from engine.graph.prompt import is_prompt
from engine.graph.workflow import Workflow, is_workflow

__all__ = ["GraphFile", "read_graph_file", "read_texts"]

_Reader = Callable[[bytes], dict[str, str]]


@dataclass(frozen=True, slots=True)
class GraphFile:
    """What was found in a file.

    `kind` is "workflow" or "prompt": what an editor would load, the workflow first. Pictures often carry both; then
    both are set. `container` names the file type ("json", "png", "webp", …). `prompt` is for `parse_prompt`.
    """

    kind: str
    workflow: Workflow | None = None
    prompt: Mapping[str, Any] | None = None
    container: str = "json"


def read_graph_file(data: bytes | str | Mapping[str, Any]) -> GraphFile:
    """The graph in a file's bytes, in JSON text, or in a parsed JSON value.

    JSON may be a workflow, a prompt, or an object that holds one under `workflow` or `prompt` (a saved request).
    Raises GraphError: those of `load_json` and `Workflow.load`, "no_graph_in_file" when there is none.
    """
    if isinstance(data, bytes):
        container, texts = read_texts(data)
        if texts is not None:
            return _from_texts(container, texts)
    value = load_json(data) if isinstance(data, (bytes, str)) else data
    found = _from_value(value)
    if found is None:
        raise GraphError(
            "The file is JSON, but neither a workflow nor a prompt.",
            code="no_graph_in_file",
            hint="A workflow has a list of nodes; a prompt is an object of nodes with a class_type each.",
        )
    return found


def read_texts(data: bytes) -> tuple[str, dict[str, str] | None]:
    """(container name, its metadata texts by key); texts are None for a file that must be JSON itself."""
    for name, matches, reader in _containers():
        if matches(data):
            return name, reader(data)
    return "json", None


def _containers() -> tuple[tuple[str, Callable[[bytes], bool], _Reader], ...]:
    return (
        ("png", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), image_metadata.png_texts),
        ("webp", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", image_metadata.webp_texts),
        ("jpeg", lambda data: data.startswith(b"\xff\xd8\xff"), image_metadata.jpeg_texts),
        ("flac", lambda data: data.startswith(b"fLaC"), media_metadata.flac_texts),
        ("mp3", lambda data: data.startswith(b"ID3"), media_metadata.mp3_texts),
        ("ogg", lambda data: data.startswith(b"OggS"), media_metadata.ogg_texts),
        ("mp4", lambda data: data[4:8] == b"ftyp", media_metadata.mp4_texts),
        ("webm", lambda data: data.startswith(b"\x1a\x45\xdf\xa3"), media_metadata.matroska_texts),
        ("glb", lambda data: data.startswith(b"glTF"), media_metadata.glb_texts),
        ("safetensors", media_metadata.is_safetensors, media_metadata.safetensors_texts),
    )


def _from_value(value: Any) -> GraphFile | None:
    if is_workflow(value):
        return GraphFile("workflow", workflow=Workflow.load(value))
    if is_prompt(value):
        return GraphFile("prompt", prompt=value)
    if not isinstance(value, dict):
        return None
    workflow, prompt = value.get("workflow"), value.get("prompt")
    return _both(workflow if is_workflow(workflow) else None, prompt if is_prompt(prompt) else None, "json")


def _from_texts(container: str, texts: dict[str, str]) -> GraphFile:
    """The graph among metadata texts. A damaged text counts only when the other one is no use either."""
    found: dict[str, Any] = {}
    damaged: GraphError | None = None
    for key, is_right in (("workflow", is_workflow), ("prompt", is_prompt)):
        try:
            value = load_json(texts[key]) if key in texts else None
        except GraphError as error:
            damaged = error
            continue
        if is_right(value):
            found[key] = value
    graph = _both(found.get("workflow"), found.get("prompt"), container)
    if graph is None:
        raise damaged or GraphError(
            f"The {container} file carries no workflow and no prompt.",
            code="no_graph_in_file",
            hint="It was saved without metadata, or by a program that removed it.",
        )
    return graph


def _both(workflow: Any, prompt: Any, container: str) -> GraphFile | None:
    if workflow is not None:
        return GraphFile("workflow", Workflow.load(workflow), prompt, container)
    return None if prompt is None else GraphFile("prompt", None, prompt, container)
