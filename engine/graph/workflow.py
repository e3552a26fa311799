"""Workflow files (editor JSON): load schema 0.4 or 1, keep everything, save either.

In memory a workflow is one JSON document in the form of schema 1. Only what the two schemas spell differently is
converted: links, counters, and the native reroutes that schema 0.4 keeps under `extra`. Every other key, known or not,
stays where it was found. See docs/workflow-format.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.errors import GraphError
from engine.graph.json_text import load_json

__all__ = ["Workflow", "is_workflow"]

_LINK_KEYS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
_COUNTERS = {"last_node_id": "lastNodeId", "last_link_id": "lastLinkId"}
_MORE = "more"


def is_workflow(value: Any) -> bool:
    """Whether a JSON value looks like a workflow: an object with a list of nodes."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A saved document. Equal when the schema 1 documents are equal.

    `document` shares structure with what was loaded and with what `save` returns: treat all of them as immutable.
    `found_version` is the version the file had (0.4 for files without one).
    """

    document: Mapping[str, Any]
    found_version: float = field(default=1, compare=False)

    @classmethod
    def load(cls, source: str | bytes | Mapping[str, Any]) -> Workflow:
        """Read JSON text or a parsed document.

        Raises GraphError: those of `load_json`, and "bad_workflow" when it is not an object with a list of nodes, or
        when its nodes, links or definitions are not lists of the right things.
        """
        value = load_json(source) if isinstance(source, (str, bytes)) else source
        if not is_workflow(value):
            raise GraphError(
                "This is no workflow: it is not an object with a list of nodes.",
                code="bad_workflow",
                hint="Save the workflow from the editor's menu.",
            )
        _check_shape(value)
        version = value.get("version", 0.4)
        is_number = isinstance(version, (int, float)) and not isinstance(version, bool)
        return cls(_to_schema_1(value), version if is_number else 0.4)

    def save(self, version: float = 1) -> dict[str, Any]:
        """The document in schema 1, or 0.4 (what editors write); loading it gives back an equal workflow.

        Raises GraphError (code "bad_version") for other versions.
        """
        if version == 1:
            return {**self.document, "version": 1}
        if version == 0.4:
            return _to_schema_04(self.document)
        raise GraphError(f"There is no workflow schema {version}.", code="bad_version", hint="Use 0.4 or 1.")


def _check_shape(value: Mapping[str, Any]) -> None:
    """Refuse what no editor writes and no reader could make sense of."""
    for key, kind in (("links", list), ("groups", list), ("extra", dict), ("definitions", dict)):
        if not isinstance(value.get(key), (kind, type(None))):
            raise GraphError(f"The workflow's {key!r} has the wrong JSON type.", code="bad_workflow")
    for position, node in enumerate(value["nodes"]):
        if not isinstance(node, dict):
            raise GraphError(f"Entry {position} of the workflow's nodes is no object.", code="bad_workflow")


# ------------------------------------------------------------------ 0.4 → 1


def _to_schema_1(value: Mapping[str, Any]) -> dict[str, Any]:
    document = dict(value)
    if document.get("version") == 1:
        return document
    document["version"] = 1
    extra = document.get("extra")
    extensions: dict[Any, Mapping[str, Any]] = {}
    if isinstance(extra, dict):
        extra = dict(extra)
        extensions = _take_extensions(extra, document.get("links") or ())
        if "reroutes" in extra and "reroutes" not in document:
            document["reroutes"] = extra.pop("reroutes")
        document["extra"] = extra
    if isinstance(document.get("links"), list):
        document["links"] = [_link_object(link, extensions) for link in document["links"]]
    found = document.get("state")
    if found is None or isinstance(found, dict):
        state = dict(found or {})
        for name, counter in _COUNTERS.items():
            if name in document and counter not in state:
                state[counter] = document.pop(name)
        if state:
            document["state"] = state
    return document


def _take_extensions(extra: dict[str, Any], links: Any) -> dict[Any, Mapping[str, Any]]:
    """Remove from `extra` the link extensions that belong to a link, and return them by link id."""
    found = extra.get("linkExtensions")
    if not isinstance(found, list) or not found:
        return {}
    ids = {link[0] for link in links if isinstance(link, list) and link and isinstance(link[0], (int, str))}
    taken: dict[Any, Mapping[str, Any]] = {}
    left = []
    for item in found:
        link = item.get("id") if isinstance(item, dict) else None
        is_plain = isinstance(link, (int, str)) and not set(item).intersection(_LINK_KEYS[1:])
        if is_plain and link in ids and link not in taken and _MORE not in item:
            taken[link] = item
        else:
            left.append(item)
    if left:
        extra["linkExtensions"] = left
    else:
        del extra["linkExtensions"]
    return taken


def _link_object(link: Any, extensions: dict[Any, Mapping[str, Any]]) -> Any:
    """A link array as an object; anything else as it is."""
    if not isinstance(link, list) or len(link) < 5:
        return link
    record = dict(zip(_LINK_KEYS, link))
    if len(link) > len(_LINK_KEYS):
        record[_MORE] = link[len(_LINK_KEYS) :]
    if extensions and isinstance(link[0], (int, str)):
        record.update(extensions.pop(link[0], {}))
    return record


# ------------------------------------------------------------------ 1 → 0.4


def _to_schema_04(document: Mapping[str, Any]) -> dict[str, Any]:
    value = dict(document)
    value["version"] = 0.4
    extra = dict(value.get("extra") or {})
    extensions: list[Any] = []
    if isinstance(value.get("links"), list):
        value["links"] = [_link_array(link, extensions) for link in value["links"]]
    if extensions:
        extra["linkExtensions"] = [*extensions, *extra.get("linkExtensions", ())]
    if "reroutes" in value and "reroutes" not in extra:
        extra["reroutes"] = value.pop("reroutes")
    if extra or "extra" in value:
        value["extra"] = extra if extra or value.get("extra") is not None else None
    if isinstance(value.get("state"), dict):
        state = dict(value["state"])
        for name, counter in _COUNTERS.items():
            if counter in state and name not in value:
                value[name] = state.pop(counter)
        if state:
            value["state"] = state
        elif document["state"]:
            del value["state"]
    return value


def _link_array(link: Any, extensions: list[Any]) -> Any:
    """A link object as an array, its further keys as a link extension; anything else as it is."""
    if not isinstance(link, dict) or not all(key in link for key in _LINK_KEYS[:5]):
        return link
    if _MORE in link and ("type" not in link or not isinstance(link[_MORE], list)):
        return link
    further = {key: item for key, item in link.items() if key not in _LINK_KEYS and key != _MORE}
    if further:
        if not isinstance(link["id"], (int, str)):
            return link
        extensions.append({"id": link["id"], **further})
    return [link[key] for key in _LINK_KEYS if key in link] + list(link.get(_MORE, ()))
