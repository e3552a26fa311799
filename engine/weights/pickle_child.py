"""The process that turns a pickled checkpoint into a safetensors file. Run as a script, with an order on its input.

It has no secrets in its environment, loads with torch's restricted unpickler only, and every name that is not needed
for tensors is bound to a class that does nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROOT = str(Path(__file__).resolve().parents[2])
_WRAPPERS = ("state_dict", "model_state_dict", "model", "params_ema", "params", "module")

_MAX_FACTS, _MAX_FACT_LENGTH = 64, 1000

__all__ = ["flatten_tensors", "main"]


def flatten_tensors(tree: Any) -> dict[str, Any]:
    """All tensors of a loaded object by dotted path, beginning inside the usual wrapper if there is one."""
    import torch

    root = tree
    if isinstance(tree, Mapping):
        for wrapper in _WRAPPERS:
            inner = tree.get(wrapper)
            if isinstance(inner, Mapping) and any(isinstance(value, torch.Tensor) for value in inner.values()):
                root = inner
                break
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            found[path] = value
        elif isinstance(value, Mapping):
            waiting.extend((f"{path}.{key}" if path else str(key), item) for key, item in value.items())
        elif isinstance(value, (list, tuple)):
            waiting.extend((f"{path}.{index}" if path else str(index), item) for index, item in enumerate(value))
    return found


def main() -> int:
    """Read the order, load, write; the last line of the error output says what went wrong."""
    sys.path.insert(0, _ROOT)
    import torch

    from engine.weights.pickle_scan import USUAL_GLOBALS
    from engine.weights.writer import write_safetensors

    order = json.load(sys.stdin)
    source, target = Path(order["source"]), Path(order["target"])
    inert: list[Any] = [(_inert(name), name) for name in order["names"] if name not in USUAL_GLOBALS]
    is_zip = source.open("rb").read(2) == b"PK"
    with torch.serialization.safe_globals(inert):
        tree = torch.load(source, map_location="cpu", weights_only=True, mmap=is_zip)
    tensors = {key: value for key, value in flatten_tensors(tree).items() if value.layout is torch.strided}
    if not tensors:
        sys.stderr.write("it holds no tensors\n")
        return 1
    specs = {key: (value.dtype, tuple(value.shape)) for key, value in tensors.items()}
    write_safetensors(target, specs, tensors.__getitem__, _facts(tree))
    return 0


def _facts(tree: Any) -> dict[str, str]:
    """Top-level numbers and words of a file, as text entries: how a hypernetwork is built, how long was trained."""
    if not isinstance(tree, Mapping):
        return {}
    plain = [(key, value) for key, value in tree.items() if isinstance(value, (bool, int, float, str))]
    texts = {str(key): str(value) for key, value in plain[:_MAX_FACTS]}
    return {key: text for key, text in texts.items() if len(key) + len(text) <= _MAX_FACT_LENGTH}


def _inert(name: str) -> type:
    """A class that takes anything and does nothing, standing for `name`."""

    def make(cls: type, *args: object, **options: object) -> object:
        return object.__new__(cls)

    def ignore(self: object, *args: object, **options: object) -> None:
        return None

    return type("Inert", (), {"__new__": make, "__init__": ignore, "__setstate__": ignore, "stands_for": name})


if __name__ == "__main__":
    sys.exit(main())
