"""Strict renaming: from the keys of a published file to the names of a network, with every key accounted for.

Rules are data, tried in order; a key that no rule matches keeps its name. What is left over or missing is an error that
names it, never a silent default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType

import torch

from engine.core.errors import CheckpointError
from engine.weights.checkpoint import TORCH_DTYPES, Checkpoint

__all__ = [
    "SCALE_ENDS",
    "SCALE_MARK",
    "WEIGHT_SCALE",
    "KeyRule",
    "WeightReader",
    "WeightRef",
    "WeightSpec",
    "read_part",
    "refuse_unknown_keys",
]

_MAX_NAMED = 5

WEIGHT_SCALE = "scale_weight"
"""What stands in the place of `weight` in the key of its scale."""
SCALE_MARK = "scaled_fp8"
SCALE_ENDS = frozenset({WEIGHT_SCALE, "scale_input"})
"""Ends of the keys of scales: of weights, and of what they are multiplied with."""


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Rename keys that fully match `pattern` to `targets` (templates of `Match.expand`).

    Several targets share the tensor's rows evenly, in order (a fused q|k|v projection). No target drops the key.
    `is_transposed` swaps the two axes of a matrix.
    """

    pattern: str
    targets: tuple[str, ...]
    is_transposed: bool = False


@dataclass(frozen=True, slots=True)
class WeightRef:
    """Where a network's weight is in a file: its key, and the part of the rows `(index, count)` it takes."""

    key: str
    part: tuple[int, int] = (0, 1)
    is_transposed: bool = False


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """Shape as the network wants it, dtype as stored."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_elements(self) -> int:
        """Values in the weight."""
        return torch.Size(self.shape).numel()

    @property
    def num_bytes(self) -> int:
        """Size as stored."""
        return self.num_elements * self.dtype.itemsize


class WeightReader:
    """A network's weights by the network's own names, read from a checkpoint when asked for. Immutable."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        refs: Mapping[str, WeightRef],
        shapes: Mapping[str, tuple[int, ...]],
        scale_keys: Iterable[str] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self.refs: Mapping[str, WeightRef] = MappingProxyType(dict(refs))
        self.scale_keys = frozenset(scale_keys)
        self.specs: Mapping[str, WeightSpec] = MappingProxyType(
            {
                name: WeightSpec(tuple(shapes[name]), TORCH_DTYPES[checkpoint.tensors[ref.key].dtype])
                for name, ref in refs.items()
            }
        )

    @property
    def used_keys(self) -> frozenset[str]:
        """Keys of the file this network takes."""
        return frozenset(ref.key for ref in self.refs.values()) | self.scale_keys

    def read(self, name: str) -> torch.Tensor:
        """The weight in the network's shape and the stored dtype; a view of the file, never to be written."""
        ref = self.refs[name]
        tensor = self.checkpoint.tensor(ref.key)
        index, count = ref.part
        if count > 1:
            rows = tensor.shape[0] // count
            tensor = tensor[index * rows : (index + 1) * rows]
        if ref.is_transposed:
            tensor = tensor.t()
        return tensor.reshape(self.specs[name].shape)

    def prefetch(self, names: Iterable[str]) -> None:
        """Ask the operating system to read these weights ahead."""
        self.checkpoint.prefetch({self.refs[name].key for name in names})

    def release(self, names: Iterable[str]) -> None:
        """Let the operating system take back the pages of these weights."""
        self.checkpoint.release({self.refs[name].key for name in names})


def read_part(
    checkpoint: Checkpoint,
    prefix: str,
    expected: Mapping[str, tuple[int, ...]],
    rules: Sequence[KeyRule] = (),
    what: str = "network",
    *,
    takes_scales: bool = False,
) -> WeightReader:
    """A reader of the keys below `prefix` for a network whose weights have the `expected` shapes.

    Raises CheckpointError naming what is missing, of the wrong shape, unknown, or given twice. A trailing
    axis of length one may be there or not (1x1 convolutions stored as matrices); one of length 0 never.

    takes_scales: the caller multiplies eight-bit weights by the scales beside them (`engine.weights.scaled`); otherwise
    those are unknown keys.
    """
    scale_keys = _scale_keys(checkpoint, prefix) if takes_scales else frozenset()
    refs, repeated = _rename(checkpoint, prefix, rules, scale_keys)
    shapes = {name: _ref_shape(checkpoint, ref) for name, ref in refs.items()}
    missing = [name for name in expected if name not in refs]
    unknown = [refs[name].key for name in refs if name not in expected]
    misshapen = [
        f"{refs[name].key} is {list(shapes[name])} where {list(expected[name])} is needed"
        for name in refs
        if name in expected and (0 in shapes[name] or _essential(shapes[name]) != _essential(expected[name]))
    ]
    faults = {
        "lacks {} weight(s)": missing,
        "has {} unknown weight(s)": unknown,
        "has {} misshapen weight(s)": misshapen,
        "repeats {} weight(s)": repeated,
    }
    for title, names in faults.items():
        if names:
            raise CheckpointError(
                f"{checkpoint.path.name}: the {what} {title.format(len(names))}: {_some(names)}.",
                code="checkpoint_keys",
                hint="The file is incomplete, of another model, or merged by a tool that added keys of its own.",
                details={"part": what, "keys": names[:50]},
            )
    return WeightReader(checkpoint, refs, expected, scale_keys)


def refuse_unknown_keys(checkpoint: Checkpoint, used: Iterable[str], harmless: Sequence[str]) -> None:
    """Raise CheckpointError unless every key is used or fully matches a pattern of `harmless`."""
    taken = frozenset(used)
    allowed = re.compile("|".join(f"(?:{pattern})" for pattern in harmless) or r"(?!)")
    left = [key for key in checkpoint.tensors if key not in taken and not allowed.fullmatch(key)]
    if left:
        raise CheckpointError(
            f"{checkpoint.path.name} holds {len(left)} tensor(s) nothing is known to use: {_some(left)}.",
            code="checkpoint_keys",
            hint="It may need a feature this version lacks; remove the extra keys if they are known to be useless.",
            details={"keys": left[:50]},
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _scale_keys(checkpoint: Checkpoint, prefix: str) -> frozenset[str]:
    """The scales of eight-bit weights below a prefix, those of their inputs (nothing here computes in eight bits), and
    the mark of such files."""
    found = {f"{prefix}{SCALE_MARK}"} & checkpoint.tensors.keys()
    for key in checkpoint.tensors:
        module, _, end = key.rpartition(".")
        if end in SCALE_ENDS and key.startswith(prefix) and f"{module}.weight" in checkpoint.tensors:
            found.add(key)
    return frozenset(found)


def _rename(
    checkpoint: Checkpoint, prefix: str, rules: Sequence[KeyRule], left_out: Set[str]
) -> tuple[dict[str, WeightRef], list[str]]:
    compiled = [(re.compile(rule.pattern), rule) for rule in rules]
    refs: dict[str, WeightRef] = {}
    repeated: list[str] = []
    for key in checkpoint.tensors:
        if not key.startswith(prefix) or key in left_out:
            continue
        for name, ref in _targets(key, key[len(prefix) :], compiled):
            if name in refs:
                repeated.append(f"{key} and {refs[name].key} both as {name}")
            refs[name] = ref
    return refs, repeated


def _targets(key: str, name: str, rules: Sequence[tuple[re.Pattern[str], KeyRule]]) -> list[tuple[str, WeightRef]]:
    for pattern, rule in rules:
        match = pattern.fullmatch(name)
        if match:
            count = len(rule.targets)
            return [
                (match.expand(target), WeightRef(key, (index, count), rule.is_transposed))
                for index, target in enumerate(rule.targets)
            ]
    return [(name, WeightRef(key))]


def _ref_shape(checkpoint: Checkpoint, ref: WeightRef) -> tuple[int, ...]:
    shape = checkpoint.tensors[ref.key].shape
    if ref.part[1] > 1:
        shape = (shape[0] // ref.part[1], *shape[1:]) if shape and shape[0] % ref.part[1] == 0 else (-1,)
    return shape[::-1] if ref.is_transposed else shape


def _essential(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape without trailing ones beyond the second axis."""
    sizes = list(shape)
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)
