"""From plain data to frozen dataclasses by their type annotations, strictly; and back.

Understood: int, float, bool, str, Path, Literal, tuple[X, ...], tuple[X, Y], Mapping[str, X], dataclasses, and unions:
with None, of scalars, and of dataclasses told apart by a field `kind: Literal["…"]`, which may be left out where one of
them alone has a default for it.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.training.config.error import ConfigError

__all__ = ["resolve", "to_plain"]

_T = TypeVar("_T")
_SCALARS = {int: "an integer", float: "a number", bool: "true or false", str: "a text", Path: "a path"}


def resolve(cls: type[_T], data: Mapping[str, Any]) -> _T:
    """An instance of a dataclass from plain data.

    Raises ConfigError naming the place: an unknown key (with the nearest known one), a missing key, a value of another
    type (what it got and what it wanted), or a value the dataclass itself refuses with ValueError.
    """
    return _dataclass(cls, data, "")


def to_plain(value: Any) -> Any:
    """Dataclasses as mappings, tuples as lists, paths as text: what `resolve` takes, with every default written out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _dataclass(cls: type[Any], data: Any, place: str) -> Any:
    if not isinstance(data, Mapping):
        raise _mismatch(place, data, f"the keys of {cls.__name__}")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in data:
        if key not in fields:
            raise _unknown_key(place, str(key), list(fields))
    values = {key: _value(hints[key], item, _join(place, key)) for key, item in data.items()}
    for name, field in fields.items():
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in values and not has_default:
            raise ConfigError(
                f"{_join(place, name)} is missing.", hint=f"It takes {_describe(hints[name])}.", details={"key": name}
            )
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(f"{place or 'The configuration'}: {error}") from error


def _value(wanted: Any, data: Any, place: str) -> Any:
    if wanted is Any:
        return data
    if dataclasses.is_dataclass(wanted):
        return _dataclass(wanted, data, place)  # type: ignore[arg-type]
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        return _union(wanted, data, place)
    if origin is Literal:
        if any(data == choice and type(data) is type(choice) for choice in get_args(wanted)):
            return data
        raise _mismatch(place, data, _describe(wanted))
    if origin is tuple:
        return _tuple(wanted, data, place)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise _mismatch(place, data, _describe(wanted))
        inner = get_args(wanted)[1]
        return {key: _value(inner, item, _join(place, str(key))) for key, item in data.items()}
    return _scalar(wanted, data, place)


def _scalar(wanted: Any, data: Any, place: str) -> Any:
    is_number = isinstance(data, int) and not isinstance(data, bool)
    if wanted is float and (isinstance(data, float) or is_number):
        return float(data)
    if wanted is int and is_number:
        return data
    if wanted is Path and isinstance(data, str):
        return Path(data)
    if wanted in (bool, str) and isinstance(data, wanted):
        return data
    if wanted not in _SCALARS:
        raise TypeError(f"{place}: a configuration cannot hold {wanted!r}")
    raise _mismatch(place, data, _SCALARS[wanted])


def _tuple(wanted: Any, data: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise _mismatch(place, data, _describe(wanted))
    inner = get_args(wanted)
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_value(inner[0], item, _join(place, str(index))) for index, item in enumerate(data))
    if len(data) != len(inner):
        raise _mismatch(place, data, _describe(wanted))
    pairs = enumerate(zip(inner, data, strict=True))
    return tuple(_value(kind, item, _join(place, str(index))) for index, (kind, item) in pairs)


def _union(wanted: Any, data: Any, place: str) -> Any:
    members = [member for member in get_args(wanted) if member is not type(None)]
    if data is None and len(members) < len(get_args(wanted)):
        return None
    recipes = [member for member in members if dataclasses.is_dataclass(member)]
    if isinstance(data, Mapping) and recipes:
        return _dataclass(_choose(recipes, data, place), data, place)
    if len(members) == 1:
        return _value(members[0], data, place)
    for member in members:
        if member in recipes:
            continue
        try:
            return _value(member, data, place)
        except ConfigError:
            continue
    raise _mismatch(place, data, _describe(wanted))


def _choose(recipes: Sequence[Any], data: Mapping[str, Any], place: str) -> Any:
    """The dataclass whose `kind` the data names; without a name the only one that has a usual kind."""
    if len(recipes) == 1:
        return recipes[0]
    kinds = {kind: recipe for recipe in recipes for kind in get_args(get_type_hints(recipe)["kind"])}
    kind = data.get("kind")
    if kind in kinds:
        return kinds[kind]
    usual = [recipe for recipe in recipes if _field(recipe, "kind").default is not dataclasses.MISSING]
    if kind is None and len(usual) == 1:
        return usual[0]
    if kind is None:
        raise ConfigError(f"{_join(place, 'kind')} is missing.", hint=f"Known kinds: {', '.join(sorted(kinds))}.")
    near = difflib.get_close_matches(str(kind), kinds, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"{_join(place, 'kind')} is {kind!r}, which is not known.", hint=f"{hint}Known: {', '.join(sorted(kinds))}."
    )


def _field(recipe: Any, name: str) -> dataclasses.Field[Any]:
    return next(field for field in dataclasses.fields(recipe) if field.name == name)


def _describe(wanted: Any) -> str:
    """The type in words."""
    if wanted in _SCALARS:
        return _SCALARS[wanted]
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if member is type(None) else _describe(member) for member in get_args(wanted))
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in get_args(wanted))
    if origin is tuple:
        inner = get_args(wanted)
        if inner[-1] is Ellipsis:
            return f"a list, each item {_describe(inner[0])}"
        return f"a list of {len(inner)}: {', '.join(map(_describe, inner))}"
    if dataclasses.is_dataclass(wanted):
        return f"the keys of {wanted.__name__}"  # type: ignore[union-attr]
    return "a mapping" if origin is not None else str(wanted)


def _unknown_key(place: str, key: str, known: list[str]) -> ConfigError:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
    return ConfigError(f"{_join(place, key)} is not a known key.", hint=hint, details={"key": key})


def _mismatch(place: str, data: Any, wanted: str) -> ConfigError:
    return ConfigError(f"{place or 'The configuration'} is {data!r} ({type(data).__name__}); wanted: {wanted}.")


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
