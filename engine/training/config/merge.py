"""Reading a configuration: YAML files merged left to right, then `key.sub=value` overrides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from engine.training.config.error import ConfigError

__all__ = ["apply_override", "merge", "read_config"]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain numbers and booleans (4e-4 is a number, `no` a word); a key given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_PLAIN = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("tag:yaml.org,2002:merge", r"<<", ["<"]),
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _PLAIN:
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


def read_config(paths: Iterable[Path], overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The merged configuration as plain mappings, lists and scalars.

    Args:
        paths: YAML files, each merged over those before it.
        overrides: `key.sub=value` with the value in YAML; a number names an item of a list.

    Raises ConfigError: a file is missing or no YAML mapping, or an override names no place.
    """
    config: dict[str, Any] = {}
    for path in paths:
        config = merge(config, _read(path))
    for override in overrides:
        config = apply_override(config, override)
    return config


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings merge key by key, everything else is replaced, null removes a key.

    A mapping that names another `kind` replaces the one before: keys of one kind mean nothing to another.
    """
    if "kind" in over and "kind" in base and over["kind"] != base["kind"]:
        base = {}
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            before = merged.get(key)
            merged[key] = merge(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def apply_override(config: Mapping[str, Any], override: str) -> dict[str, Any]:
    """The configuration with one `key.sub=value` applied. Raises ConfigError."""
    place, separator, text = override.partition("=")
    keys = place.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"{override!r} is no override.", hint="Write key.sub=value, for example loader.batch_size=8.")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"The value of {override!r} is not YAML: {_where(error)}.") from error
    return _set(config, keys, value, place)


def _set(node: Any, keys: list[str], value: Any, place: str) -> Any:
    """`node` with the value at the end of the keys."""
    key, rest = keys[0], keys[1:]
    if isinstance(node, list):
        if not key.isdigit() or int(key) >= len(node):
            raise ConfigError(
                f"{place}: {key!r} is no item of a list of {len(node)}.", hint="Items are numbered from 0."
            )
        index = int(key)
        if not rest and value is None:
            return node[:index] + node[index + 1 :]
        inner = _set(node[index], rest, value, place) if rest else value
        return [*node[:index], inner, *node[index + 1 :]]
    if node is not None and not isinstance(node, Mapping):
        raise ConfigError(f"{place}: {key!r} is looked for in {node!r}, which has no keys.")
    if not rest:
        return merge(node or {}, {key: value})
    return merge({}, {**(node or {}), key: _set((node or {}).get(key), rest, value, place)})


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint="Check the file's name.") from error
    try:
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {_where(error)}.") from error
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"{path} holds no mapping of names to values.")
    return data


def _where(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or str(error)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return problem if mark is None else f"{problem} (line {mark.line + 1})"
