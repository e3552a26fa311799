"""Input declarations of classic node classes (INPUT_TYPES) → input specs."""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.compat.comfyui.worker.file_lists import FileList
from engine.core.errors import NodeError
from engine.graph.schema import ANY_TYPE, FileChoices, InputSpec

__all__ = ["HIDDEN_TOKENS", "any_input_spec", "input_specs", "is_wildcard", "plain_json", "type_name"]

HIDDEN_TOKENS = frozenset(
    {"UNIQUE_ID", "PROMPT", "EXTRA_PNGINFO", "DYNPROMPT", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"}
)
_LOG = logging.getLogger(__name__)
_MAX_DEPTH = 20
_PRESENCES = ("required", "optional", "hidden")
_UNHEARD_OF = "\x00no such input"
"""A name that nobody declares: a group that has it has every name."""


def input_specs(owner: str, declared: Any) -> tuple[InputSpec, ...]:
    """The inputs in wire order: required, optional, hidden. Raises NodeError when the declaration is no mapping."""
    if not isinstance(declared, Mapping):
        raise NodeError(
            f"INPUT_TYPES of {owner} returned {type(declared).__name__} instead of a dictionary.", code="bad_node_class"
        )
    found: list[InputSpec] = []
    for presence in _PRESENCES:
        group = declared.get(presence) or {}
        if not isinstance(group, Mapping):
            if _takes_every_name(group):
                continue  # it lists none, and could not be walked through: every number is a key of it too
            raise NodeError(f"The {presence} inputs of {owner} are no dictionary.", code="bad_node_class")
        for name, entry in group.items():
            found.append(_hidden(name, entry) if presence == "hidden" else _input(owner, str(name), presence, entry))
    return tuple(found)


def any_input_spec(owner: str, declared: Mapping[str, Any]) -> InputSpec | None:
    """How inputs of undeclared names are declared by a group that contains every key; None when no group does.

    Packs make such groups of dictionaries that override `__contains__` (and mostly `__getitem__`, which then tells the
    type and options, `lazy` among them).
    """
    for presence in _PRESENCES:
        group = declared.get(presence)
        if not _takes_every_name(group):
            continue
        try:
            entry = group[_UNHEARD_OF]  # type: ignore[index] - it contains the key, so it is a container of keys
            return _input(owner, ANY_TYPE, "optional", entry)
        except Exception:  # noqa: BLE001 - code of a pack; a group that only says that it has the key says enough
            return InputSpec(ANY_TYPE, ANY_TYPE, "optional", is_wildcard=True)
    return None


def _takes_every_name(group: Any) -> bool:
    try:
        return not isinstance(group, (str, bytes)) and _UNHEARD_OF in group
    except Exception:  # noqa: BLE001 - no container, or one that fails: it takes what it lists
        return False


def is_wildcard(kind: Any) -> bool:
    """Whether a declared type matches everything: a str subclass whose `!=` is false for a foreign type name."""
    if type(kind) is str or not isinstance(kind, str):
        return False
    differs = kind != "\x00no such type"
    return not differs


def type_name(kind: Any) -> str:
    """The plain text of a declared type (which may be an enum member or a str subclass)."""
    if isinstance(kind, enum.Enum):
        kind = kind.value
    return str.__str__(kind) if isinstance(kind, str) else str(kind)


def _hidden(name: str, entry: Any) -> InputSpec:
    token = entry[0] if isinstance(entry, (tuple, list)) and entry else entry
    return InputSpec(str(name), type_name(token) if isinstance(token, str) else "UNKNOWN", "hidden")


def _input(owner: str, name: str, presence: str, entry: Any) -> InputSpec:
    if isinstance(entry, str):
        # A missing comma, ("IMAGE") for ("IMAGE",), is common in the field and has only one sensible meaning.
        entry = (entry,)
    if not isinstance(entry, Sequence) or not entry:
        raise NodeError(f"Input {name} of {owner} is declared as {entry!r}.", code="bad_node_class", input=name)
    kind = entry[0]
    options = dict(entry[1]) if len(entry) > 1 and isinstance(entry[1], Mapping) else {}
    choices: tuple[Any, ...] | FileChoices | None = None
    if isinstance(kind, FileList) and kind.is_untouched:
        choices, kind = FileChoices(kind.folder), "COMBO"
    elif isinstance(kind, (list, tuple, set, frozenset)) or (
        isinstance(kind, (Mapping, range)) or (hasattr(kind, "__iter__") and not isinstance(kind, str))
    ):
        choices, kind = tuple(plain_json(item, owner, name) for item in kind), "COMBO"
    elif isinstance(kind, str) and type_name(kind) == "COMBO":
        listed = options.pop("options", ())
        if isinstance(listed, FileList) and listed.is_untouched:
            choices = FileChoices(listed.folder)
        else:
            choices = tuple(plain_json(item, owner, name) for item in listed or ())
    wire = {str(key): plain_json(value, owner, name) for key, value in options.items() if not callable(value)}
    return InputSpec(name, type_name(kind), presence, wire, choices, is_wildcard(kind))


def plain_json(value: Any, owner: str = "", name: str = "", depth: int = 0) -> Any:
    """`value` as something JSON has a form for; whatever has none becomes its text, with a log line."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if not math.isinf(value) else math.copysign(1.7976931348623157e308, value)
    if isinstance(value, enum.Enum):
        return plain_json(value.value, owner, name, depth + 1)
    if isinstance(value, str):
        return str.__str__(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {type_name(key): plain_json(item, owner, name, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple, range)):
            return [plain_json(item, owner, name, depth + 1) for item in value]
        if isinstance(value, (set, frozenset)):
            return sorted((plain_json(item, owner, name, depth + 1) for item in value), key=repr)
        if hasattr(value, "item") and getattr(value, "shape", None) == ():
            return plain_json(value.item(), owner, name, depth + 1)
    _LOG.warning("%s %s: %s has no JSON form and is shown as text", owner, name, type(value).__name__)
    return str(value)
