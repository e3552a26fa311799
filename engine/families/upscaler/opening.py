"""Recognising upscaler files by their keys: Real-ESRGAN, its compact form, ESRGAN with its two older namings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.families.known_layouts import describe_layout
from engine.families.upscaler.handle import NetworkUpscaler
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.upscaler import CompactUpscaler, CompactUpscalerConfig, DenseUpscaler, DenseUpscalerConfig
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import KeyRule, read_part

__all__ = ["open_upscaler"]

_Shapes = Mapping[str, tuple[int, ...]]
_Config = CompactUpscalerConfig | DenseUpscalerConfig
_Rules = Sequence[KeyRule]
_ESRGAN_RULES = (
    KeyRule(r"RRDB_trunk\.(\d+)\.RDB(\d)\.(.*)", (r"body.\1.rdb\2.\3",)),
    KeyRule(r"trunk_conv\.(.*)", (r"conv_body.\1",)),
    KeyRule(r"upconv(\d)\.(.*)", (r"conv_up\1.\2",)),
    KeyRule(r"HRconv\.(.*)", (r"conv_hr.\1",)),
)


def open_upscaler(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkUpscaler:
    """The upscaler of a file. Reads headers only.

    Raises CheckpointError naming what the file holds when it is none of the known forms, or which keys do not fit.
    """
    found = _compact(checkpoint.shapes) or _dense(checkpoint.shapes)
    if found is None:
        raise CheckpointError(
            f"{checkpoint.path.name} is {describe_layout(checkpoint.shapes)}, not an upscaler that is known here.",
            code="unknown_upscaler",
            hint="Real-ESRGAN, its compact form and ESRGAN files are read.",
        )
    config, rules = found

    def build() -> nn.Module:
        return CompactUpscaler(config) if isinstance(config, CompactUpscalerConfig) else DenseUpscaler(config)

    with torch.device("meta"):
        expected = {name: tuple(weight.shape) for name, weight in build().state_dict().items()}
    reader = read_part(checkpoint, "", expected, rules, "upscaler")
    identity = digest_bytes(checkpoint.identity.encode(), b"upscaler")
    source = NetworkSource(identity, "upscaler", build, reader, file=checkpoint.path.name)
    return NetworkUpscaler(config, source, host, digest)


def _compact(shapes: _Shapes) -> tuple[_Config, _Rules] | None:
    first = shapes.get("body.0.weight", ())
    if len(first) != 4 or len(shapes.get("body.1.weight", ())) != 1:
        return None
    num_layers = 0
    while f"body.{num_layers}.weight" in shapes:
        num_layers += 1
    last = shapes[f"body.{num_layers - 1}.weight"]
    scale = round((last[0] / first[1]) ** 0.5)
    if len(last) != 4 or scale**2 * first[1] != last[0]:
        return None
    return CompactUpscalerConfig(first[0], (num_layers - 3) // 2, scale, first[1]), ()


def _dense(shapes: _Shapes) -> tuple[_Config, _Rules] | None:
    """The dense form in any of its three namings."""
    if "model.0.weight" in shapes:
        return _numbered(shapes)
    trunk, up, grow = ("body", "conv_up", "rdb1.conv1") if "body.0.rdb1.conv1.weight" in shapes else (
        "RRDB_trunk", "upconv", "RDB1.conv1"
    )  # fmt: skip
    first, last = shapes.get("conv_first.weight"), shapes.get("conv_last.weight")
    dense = shapes.get(f"{trunk}.0.{grow}.weight")
    if first is None or last is None or dense is None:
        return None
    num_blocks = _count(shapes, lambda n: f"{trunk}.{n}.{grow}.weight")
    num_doublings = _count(shapes, lambda n: f"{up}{n + 1}.weight")
    fold = round((first[1] / last[0]) ** 0.5)
    if fold**2 * last[0] != first[1]:
        return None
    config = DenseUpscalerConfig(first[0], num_blocks, dense[0], num_doublings, fold, last[0])
    return config, _ESRGAN_RULES if trunk == "RRDB_trunk" else ()


def _numbered(shapes: _Shapes) -> tuple[_Config, _Rules] | None:
    """ESRGAN's first naming: layers of one sequence, an enlargement every third; `model.1.sub` is the trunk."""
    dense = shapes.get("model.1.sub.0.RDB1.conv1.0.weight")
    first = shapes["model.0.weight"]
    if dense is None or len(first) != 4:
        return None
    num_blocks = _count(shapes, lambda n: f"model.1.sub.{n}.RDB1.conv1.0.weight")
    num_doublings = _count(shapes, lambda n: f"model.{3 * n + 3}.weight")
    if f"model.{3 * num_doublings + 2}.weight" not in shapes:
        return None
    last = shapes.get(f"model.{3 * num_doublings + 4}.weight", (0,))
    rules = [
        KeyRule(r"model\.0\.(.*)", (r"conv_first.\1",)),
        KeyRule(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(.*)", (r"body.\1.rdb\2.conv\3.\4",)),
        KeyRule(rf"model\.1\.sub\.{num_blocks}\.(.*)", (r"conv_body.\1",)),
        *(KeyRule(rf"model\.{3 * n + 3}\.(.*)", (rf"conv_up{n + 1}.\1",)) for n in range(num_doublings)),
        KeyRule(rf"model\.{3 * num_doublings + 2}\.(.*)", (r"conv_hr.\1",)),
        KeyRule(rf"model\.{3 * num_doublings + 4}\.(.*)", (r"conv_last.\1",)),
    ]
    return DenseUpscalerConfig(first[0], num_blocks, dense[0], num_doublings, 1, last[0]), rules


def _count(shapes: _Shapes, key: Callable[[int], str]) -> int:
    number = 0
    while key(number) in shapes:
        number += 1
    return number
