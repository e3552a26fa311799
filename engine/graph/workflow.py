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
_NOT_EXTENDED = frozenset({*_LINK_KEYS[1:], _MORE})


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
    _move_up(document)
    document["version"] = 1
    _drop_empty_extra(document)
    return document


def _drop_empty_extra(document: dict[str, Any]) -> None:
    """Remove empty containers that schema 0.4 fills: whether they were there cannot be told after a way through it."""
    links = document.get("links")
    has_extensions = isinstance(links, list) and any(_link_extension(link) for link in links)
    extra = document.get("extra")
    if has_extensions and extra and extra.get("linkExtensions", True) == []:
        extra = document["extra"] = {key: value for key, value in extra.items() if key != "linkExtensions"}
    if not document.get("extra", True) and (has_extensions or isinstance(document.get("reroutes"), list)):
        del document["extra"]


def _move_up(document: dict[str, Any]) -> None:
    """Spell links, reroutes and counters as schema 1 does, in place; files of either version mix the spellings."""
    extra = document.get("extra")
    extensions: dict[Any, Mapping[str, Any]] = {}
    if isinstance(extra, dict):
        extra = dict(extra)
        extensions = _take_extensions(extra, document.get("links") or ())
        if isinstance(extra.get("reroutes"), list) and "reroutes" not in document:
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


def _take_extensions(extra: dict[str, Any], links: Any) -> dict[Any, Mapping[str, Any]]:
    """Remove from `extra` the link extensions that belong to a link, and return them by link id."""
    found = extra.get("linkExtensions")
    if not isinstance(found, list) or not found:
        return {}
    ids = {link_id for link_id, link in _first_links(links) if isinstance(link, list) or not _link_extension(link)}
    taken: dict[Any, Mapping[str, Any]] = {}
    left = []
    for item in found:
        link_id = item.get("id") if isinstance(item, dict) else None
        is_plain = type(link_id) in (int, str) and len(item) > 1 and not set(item).intersection(_NOT_EXTENDED)
        if is_plain and link_id in ids and link_id not in taken:
            taken[link_id] = item
        else:
            left.append(item)
    if left:
        extra["linkExtensions"] = left
    else:
        del extra["linkExtensions"]
    return taken


def _first_links(links: Any) -> list[tuple[Any, Any]]:
    """(id, link) of the links in array or full object form; of links that share an id only the first."""
    found: dict[Any, Any] = {}
    for link in links if isinstance(links, list) else ():
        if isinstance(link, list):
            link_id = link[0] if len(link) >= 5 else None
        else:
            link_id = link["id"] if _link_extension(link) is not None else None
        if type(link_id) in (int, str):
            found.setdefault(link_id, link)
    return list(found.items())


def _link_object(link: Any, extensions: dict[Any, Mapping[str, Any]]) -> Any:
    """A link array as an object, with its extension; anything else as it is."""
    if isinstance(link, list) and len(link) >= 5:
        record: dict[str, Any] = dict(zip(_LINK_KEYS, link))
        if len(link) > len(_LINK_KEYS):
            record[_MORE] = link[len(_LINK_KEYS) :]
    elif extensions and _link_extension(link) is not None:
        record = dict(link)
    else:
        return link
    if extensions and type(record["id"]) in (int, str):
        record.update(extensions.pop(record["id"], {}))
    return record


# ------------------------------------------------------------------ 1 → 0.4


def _to_schema_04(document: Mapping[str, Any]) -> dict[str, Any]:
    value = dict(document)
    value["version"] = 0.4
    extra = dict(value.get("extra") or {})
    if isinstance(value.get("links"), list):
        first = {id(link) for _, link in _first_links(value["links"])}
        extensions = [item for link in value["links"] if id(link) in first and (item := _link_extension(link))]
        value["links"] = [_link_array(link, id(link) in first) for link in value["links"]]
        if extensions:
            extra["linkExtensions"] = [*extensions, *extra.get("linkExtensions", ())]
    if isinstance(value.get("reroutes"), list) and "reroutes" not in extra:
        extra["reroutes"] = value.pop("reroutes")
    if extra:
        value["extra"] = extra
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


def _link_extension(link: Any) -> dict[str, Any] | None:
    """The keys of a link object that an array has no place for; None for what cannot become an array."""
    if not isinstance(link, dict) or not all(key in link for key in _LINK_KEYS[:5]):
        return None
    if _MORE in link and ("type" not in link or not isinstance(link[_MORE], list) or not link[_MORE]):
        return None
    further = {key: item for key, item in link.items() if key not in _LINK_KEYS and key != _MORE}
    if not further:
        return {}
    return {"id": link["id"], **further} if type(link["id"]) in (int, str) else None


def _link_array(link: Any, is_first: bool) -> Any:
    """A link object as an array; as it is where something would be lost: extensions go by id, to the first link."""
    extension = _link_extension(link)
    if extension is None or (extension and not is_first):
        return link
    return [link[key] for key in _LINK_KEYS if key in link] + list(link.get(_MORE, ()))
