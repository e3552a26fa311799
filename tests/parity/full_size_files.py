"""Full-size checkpoints with synthetic weights: each made once, in pytest's cache folder, for all test processes.

Single precision takes 4 GB and about half a minute. Values do not depend on the precision they are stored in, so a
half-precision file of the same layout is rounded from it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
from filelock import FileLock
from safetensors import safe_open

from engine.weights.writer import write_safetensors
from tests.tiny_families import DERIVED, layout

__all__ = ["full_size_folder", "golden_checkpoint", "half_precision_checkpoint"]

_ROUNDED = {"F32": torch.float16, "F16": torch.float16, "I64": torch.int64, "I32": torch.int32}
_SYNTHESIZE = Path(__file__).parents[1] / "data" / "layouts" / "synthesize.py"


def full_size_folder(config: pytest.Config) -> Path:
    """Where the files lie."""
    return config.cache.mkdir("full-size-checkpoints")


def golden_checkpoint(folder: Path) -> Path:
    """The Stable Diffusion 1.5 file of the stored reference latents, in single precision.

    Text-encoder weights are rounded to half precision, as the reference held them when it made the latents.
    """
    return _made_once(folder / "sd15_s0_fp32.safetensors", _write_golden)


def half_precision_checkpoint(folder: Path, layout_name: str) -> Path:
    """A file of a layout, all of it in half precision."""
    path = folder / f"{layout_name}_s0_fp16.safetensors"
    if layout_name == "sd15":
        return _made_once(path, lambda target: _write_rounded(golden_checkpoint(folder), target))
    return _made_once(path, partial(_write_half, layout_name))


def _made_once(path: Path, write: Callable[[Path], None]) -> Path:
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            unfinished = path.with_suffix(".part")
            write(unfinished)
            os.replace(unfinished, path)
    return path


def _synthesize() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthesize", _SYNTHESIZE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write_golden(target: Path) -> None:
    synthesize = _synthesize()
    published = synthesize.load_layout("sd15")
    tensors = {
        key: ("F16" if key.startswith("cond_stage_model.") and dtype == "F32" else dtype, list(shape))
        for key, (dtype, shape) in published["tensors"].items()
    }
    synthesize.write_safetensors(target, published, tensors, 0, {})


def _write_half(layout_name: str, target: Path) -> None:
    synthesize = _synthesize()
    published = synthesize.load_layout(DERIVED.get(layout_name, (layout_name,))[0])
    published["tensors"] = layout(layout_name)
    synthesize.write_safetensors(target, published, synthesize.select(published, "F16", None, None), 0, None)


def _write_rounded(source: Path, target: Path) -> None:
    with safe_open(source, "pt") as file:

        def rounded(key: str) -> torch.Tensor:
            tensor = file.get_tensor(key)
            return tensor.half() if tensor.is_floating_point() else tensor

        specs = {}
        for key in file.keys():  # noqa: SIM118
            view = file.get_slice(key)
            specs[key] = (_ROUNDED[view.get_dtype()], tuple(view.get_shape()))
        write_safetensors(target, specs, rounded)
