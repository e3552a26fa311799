"""`widgets_values` of an editor node → values by widget name.

The list holds one entry per widget in schema order, plus entries for controls that are no inputs: the control after
seeds, and buttons. Only those in the middle of the list matter; what trails after the last widget is ignored anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.graph.schema import WIDGET_TYPES, FileChoices, InputSpec, NodeSpec

__all__ = ["FILE_NAME_WIDGET", "WidgetPlan", "editor_text"]

FILE_NAME_WIDGET = "filename_prefix"

EDITOR_WIDGET_TYPES = WIDGET_TYPES | {"LOAD_3D", "LOAD_3D_ANIMATION", "WEBCAM", "AUDIO_RECORD"}
"""Input types an editor shows a control for; those the schema does not count are pictures, cameras and recorders."""

_SEED_NAMES = ("seed", "noise_seed")
_BUTTONS_AFTER: Mapping[tuple[str, str], int] = {("Load3D", "model_file"): 3, ("Load3DAnimation", "model_file"): 3}
_TRAILING_OPTIONS = ("image_upload", "video_upload")
_ZEROS: Mapping[str, Any] = {"INT": 0, "FLOAT": 0, "BOOLEAN": False, "STRING": ""}
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class WidgetPlan:
    """The widgets of a node type. `entries` are the list's positions: an input, or None for a control.

    `long_entries` are the positions of an old file whose list also counts the inputs that are links by force; equal
    to `entries` when there are none. `texts` are the widgets whose values are always text;
    `processed` those an editor works on before it sends them (alternatives, comments, file name tokens).
    `declared` are the names of all inputs when the node takes others too; None when it does not.
    """

    widgets: tuple[InputSpec, ...]
    entries: tuple[InputSpec | None, ...]
    long_entries: tuple[InputSpec | None, ...]
    num_trailing: int = 0
    texts: tuple[str, ...] = ()
    processed: tuple[InputSpec, ...] = ()
    declared: frozenset[str] | None = None

    @classmethod
    def of(cls, spec: NodeSpec) -> WidgetPlan:
        """The plan of a node type."""
        entries: list[InputSpec | None] = []
        long_entries: list[InputSpec | None] = []
        for item in spec.visible_inputs:
            kind = item.options.get("widgetType") or item.type
            if kind not in EDITOR_WIDGET_TYPES or item.options.get("socketless") is False:
                continue
            extra: list[InputSpec | None] = [None] * _BUTTONS_AFTER.get((spec.name, item.name), 0)
            if item.options.get("control_after_generate") or (item.type == "INT" and item.name in _SEED_NAMES):
                extra.append(None)
            is_forced = bool(item.options.get("forceInput"))
            long_entries += [None if is_forced else item, *extra]
            if not is_forced:
                entries += [item, *extra]
        trailing = sum(1 for item in spec.visible_inputs if any(item.options.get(o) for o in _TRAILING_OPTIONS))
        widgets = tuple(item for item in entries if item is not None)
        processed = tuple(
            item
            for item in widgets
            if item.type == "STRING" and (item.options.get("dynamicPrompts") or item.name == FILE_NAME_WIDGET)
        )
        texts = tuple(item.name for item in widgets if _is_text(item))
        declared = frozenset(spec.inputs_by_name) if spec.any_input is not None else None
        return cls(widgets, tuple(entries), tuple(long_entries), trailing, texts, processed, declared)

    @property
    def num_entries(self) -> int:
        """How many list entries a saved node of this type has."""
        return len(self.entries) + self.num_trailing

    def read(self, values: Any, first_file: Callable[[FileChoices], Any]) -> dict[str, Any]:
        """Values by widget name, in schema order.

        Args:
            values: the node's `widgets_values`: a list, an object by name, or anything else for none.
            first_file: the first file of a folder, for choices without a value; None when there is none.

        Missing values are defaults; a choice of files with no file at hand is left out. What an object holds under
        other names follows when the node takes every name; entries of a list have no names to go by.
        """
        found: dict[str, Any] = {}
        if isinstance(values, list):
            entries = self.entries
            if len(self.long_entries) != len(entries) and len(values) == len(self.long_entries) + self.num_trailing:
                entries = self.long_entries
            for item, value in zip(entries, values):
                if item is not None:
                    found[item.name] = value
        elif isinstance(values, dict):
            found = {item.name: values[item.name] for item in self.widgets if item.name in values}
        if len(found) < len(self.widgets):
            found = self._completed(found, first_file)
        for name in self.texts:
            if name in found and type(found[name]) is not str:
                found[name] = editor_text(found[name])
        if self.declared is not None and isinstance(values, dict):
            found.update((name, value) for name, value in values.items() if name and name not in self.declared)
        return found

    def _completed(self, given: Mapping[str, Any], first_file: Callable[[FileChoices], Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for item in self.widgets:
            value = given[item.name] if item.name in given else _default(item, first_file)
            if value is not _ABSENT:
                found[item.name] = value
        return found


def _is_text(item: InputSpec) -> bool:
    return item.type == "STRING" and bool(item.options.get("multiline") or item.options.get("dynamicPrompts"))


def _default(item: InputSpec, first_file: Callable[[FileChoices], Any]) -> Any:
    if "default" in item.options:
        return item.options["default"]
    if item.choices is None or not item.is_choice:
        return _ZEROS.get(item.type, "")
    if isinstance(item.choices, FileChoices):
        first = first_file(item.choices)
        return _ABSENT if first is None else first
    return item.choices[0] if item.choices else _ABSENT


def editor_text(value: Any) -> str:
    """A JSON value as an editor's text field shows it: whole floats without a point, null as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, list):
        return ",".join(item if isinstance(item, str) else repr(item) for item in value)
    return str(value)
