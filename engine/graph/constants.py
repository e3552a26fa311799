"""Checks of one constant against one input spec: conversion to the input's type, bounds, choices, files."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from engine.core.errors import NotFoundError
from engine.core.folders import split_annotation
from engine.graph.complaint import shown
from engine.graph.schema import FileChoices, InputSpec

__all__ = ["WORKING_FOLDERS", "ConstantError", "Listings", "check_constant", "constant_bounds"]

WORKING_FOLDERS = ("input", "output", "temp")
_MAX_DIGITS = 400
_MAX_SHOWN_CHOICES = 20
_MAX_SUGGESTIONS = 10
_MAX_CHOICES_COMPARED = 3000
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


class ConstantError(Exception):
    """A constant does not fit its input; the arguments are those of a Complaint without its place."""

    def __init__(self, code: str, message: str, **parts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.parts = parts


class Listings:
    """The choices of inputs during one validation: every folder is listed once, every choice set is built once."""

    def __init__(
        self,
        list_files: Callable[[FileChoices], list[str]],
        file_exists: Callable[[str, str], bool] | None = None,
    ) -> None:
        self._list_files = list_files
        self._file_exists = file_exists
        self._files: dict[FileChoices, list[str]] = {}
        self._sets: dict[FileChoices, frozenset[str]] = {}
        self._known: dict[tuple[str, str], bool] = {}
        self._suggestions_left = _MAX_SUGGESTIONS

    def files(self, choices: FileChoices) -> list[str]:
        """The files of a folder and its fixed entries; [] for a folder the server does not have."""
        if choices not in self._files:
            try:
                found = list(self._list_files(choices))
            except NotFoundError:
                found = []
            self._files[choices] = found + [name for name in choices.also if name not in found]
        return self._files[choices]

    def has(self, choices: FileChoices, name: Any) -> bool:
        """Whether `name` is one of the choices, or for working folders an existing file (`x.png [output]`)."""
        if choices not in self._sets:
            self._sets[choices] = frozenset(self.files(choices))
        if not isinstance(name, str):
            return False
        return name in self._sets[choices] or (choices.folder in WORKING_FOLDERS and self._exists(choices, name))

    def _exists(self, choices: FileChoices, name: str) -> bool:
        bare, folder = split_annotation(name, choices.folder)
        if not bare or len(bare) > 1024:
            return False
        key = (folder, bare)
        if key not in self._known:
            if self._file_exists is not None:
                self._known[key] = self._file_exists(folder, bare)
            else:
                self._known[key] = bare in self.files(FileChoices(folder))
        return self._known[key]

    def nearest(self, value: Any, choices: list[Any]) -> str | None:
        """The choice most like `value`; None when nothing is close or enough suggestions were made."""
        if self._suggestions_left <= 0 or not isinstance(value, str):
            return None
        self._suggestions_left -= 1
        names = [item for item in choices[:_MAX_CHOICES_COMPARED] if isinstance(item, str)]
        close = difflib.get_close_matches(value[:200], names, n=1, cutoff=0.6)
        return close[0] if close else None


def check_constant(item: InputSpec, value: Any, listings: Listings, *, checks_range: bool) -> Any:
    """`value` converted to the type of `item`.

    Args:
        item: the input.
        value: a JSON value, wrapper removed.
        listings: choices and files.
        checks_range: whether bounds and choices are checked too (the node has no validator of its own for it).

    Raises ConstantError.
    """
    kind = item.type
    if kind == "INT":
        value = _to_int(item, value)
    elif kind == "FLOAT":
        value = _to_float(item, value)
    elif kind == "STRING":
        return value if type(value) is str else str(value)
    elif kind == "BOOLEAN":
        return bool(value)
    if checks_range:
        if kind == "COMBO" or isinstance(item.choices, FileChoices):
            _check_choice(item, value, listings)
        elif type(value) in (int, float):
            _check_bounds(item, value)
    return value


def _to_int(item: InputSpec, value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        raise _conversion_error(item, value, f"invalid literal for int(): {len(value)} characters")
    if isinstance(value, float) and not math.isfinite(value):
        raise _not_finite(item, value)
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise _conversion_error(item, value, str(error)) from None


def _to_float(item: InputSpec, value: Any) -> float:
    if isinstance(value, str) and len(value) > _MAX_DIGITS:
        raise _conversion_error(item, value, f"could not convert string to float: {len(value)} characters")
    try:
        number = float(value)
    except OverflowError:
        is_small = isinstance(value, int) and value < 0
        raise _outside(item, value, is_small=is_small, bound=item.options.get("min" if is_small else "max")) from None
    except (TypeError, ValueError) as error:
        raise _conversion_error(item, value, str(error)) from None
    if not math.isfinite(number):
        raise _not_finite(item, value)
    return number


def constant_bounds(item: InputSpec) -> tuple[float, float]:
    """Smallest and largest number accepted: the declared ones, else 64 bits for INT and the finite floats."""
    low, high = item.options.get("min"), item.options.get("max")
    is_int = item.type == "INT"
    if not isinstance(low, (int, float)):
        low = _INT_MIN if is_int else -sys.float_info.max
    if not isinstance(high, (int, float)):
        high = _INT_MAX if is_int else sys.float_info.max
    return low, high


def _check_bounds(item: InputSpec, value: float) -> None:
    if not math.isfinite(value):
        raise _not_finite(item, value)
    low, high = constant_bounds(item)
    if value < low:
        raise _outside(item, value, is_small=True, bound=low)
    if value > high:
        raise _outside(item, value, is_small=False, bound=high)


def _check_choice(item: InputSpec, value: Any, listings: Listings) -> None:
    choices = item.choices
    if isinstance(choices, FileChoices):
        if listings.has(choices, value):
            return
        if choices.folder in WORKING_FOLDERS:
            raise _invalid_file(item, choices, value)
        names: list[Any] = listings.files(choices)
    else:
        names = list(choices or ())
        if value in names:
            return
        if isinstance(value, list) and _takes_several(item.options) and all(entry in names for entry in value):
            return
    raise _not_in_list(item, value, names, listings)


def _takes_several(options: Mapping[str, Any]) -> bool:
    return bool(options.get("multiselect") or options.get("multi_select"))


# ------------------------------------------------------------------ what is said


def _conversion_error(item: InputSpec, value: Any, reason: str) -> ConstantError:
    return ConstantError(
        "invalid_input_type",
        f"{item.name} is {_quoted(value)}, which is no {item.type} value.",
        wanted=item.type,
        remedy="Enter a number." if item.type in ("INT", "FLOAT") else "",
        details=f"{item.name}, {shown(value)}, {reason}",
        extra={"exception_message": reason},
    )


def _not_finite(item: InputSpec, value: Any) -> ConstantError:
    reason = f"{value} is not a finite number"
    return ConstantError(
        "value_not_finite",
        f"{item.name} is {_quoted(value)}, which is not a finite number.",
        wanted=item.type,
        remedy="Enter a finite number.",
        details=f"{item.name}, {shown(value)}, {reason}",
        extra={"exception_message": reason},
        comfy_type="invalid_input_type",
    )


def _outside(item: InputSpec, value: Any, *, is_small: bool, bound: Any) -> ConstantError:
    side, word = ("smaller", "min") if is_small else ("bigger", "max")
    limit = bound if bound is not None else "what a number can hold"
    return ConstantError(
        f"value_{side}_than_{word}",
        f"{item.name} is {_quoted(value)}, {side} than {limit}.",
        wanted=bound,
        remedy=f"Enter a value of {'at least' if is_small else 'at most'} {limit}." if bound is not None else "",
        details=item.name,
    )


def _not_in_list(item: InputSpec, value: Any, names: list[Any], listings: Listings) -> ConstantError:
    is_long = len(names) > _MAX_SHOWN_CHOICES
    listed = f"(list of length {len(names)})" if is_long else repr(names)
    nearest = listings.nearest(value, names)
    remedy = "Choose one of the listed values." if nearest is None else f"Did you mean {nearest!r}?"
    place = f"one of its {len(names)} choices"
    if isinstance(item.choices, FileChoices):
        folder = item.choices.folder
        place = f"among the {len(names)} files of the folder {folder!r}"
        remedy = f"Put the file into the folder {folder!r}{', or choose another one' if names else ''}."
        if nearest is not None:
            remedy = f"Did you mean {nearest!r}? If not: {remedy[0].lower()}{remedy[1:]}"
    return ConstantError(
        "value_not_in_list",
        f"{item.name} is {_quoted(value)}, which is not {place}.",
        wanted=listed if is_long else names,
        remedy=remedy,
        details=f"{item.name}: {shown(value)!r} not in {listed}",
        extra={"input_config": None} if is_long else {},
    )


def _invalid_file(item: InputSpec, choices: FileChoices, value: Any) -> ConstantError:
    media = choices.media.rpartition("*.")[2] if "*." in choices.media else choices.media.partition(",")[0]
    kind = f"{media} file" if media.isalnum() else "file"
    return ConstantError(
        "custom_validation_failed",
        f"{item.name} names {_quoted(value)}, which is no file of the {choices.folder} folder.",
        wanted=f"a file of the {choices.folder} folder",
        remedy="Upload the file, or choose another one.",
        details=f"{item.name} - Invalid {kind}: {shown(value)}",
    )


def _quoted(value: Any) -> str:
    text = repr(shown(value))
    return text if len(text) <= 120 else f"{text[:120]}…"
