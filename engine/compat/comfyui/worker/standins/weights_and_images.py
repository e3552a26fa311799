"""`comfy.utils`: progress bars, weight files, resizing and tiling, and attribute paths."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import torch

from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.standins import tiles
from engine.compat.comfyui.worker.standins.module import StandIn
from engine.compat.comfyui.worker.standins.progress import ProgressBar
from engine.imaging import resize
from engine.weights.checkpoint import open_checkpoint
from engine.weights.header import read_header
from engine.weights.pickles import ConversionPolicy
from engine.weights.writer import write_safetensors

__all__ = ["build"]


def build(host: Host) -> StandIn:
    """The stand-in module."""
    files = _WeightFiles(host)
    module = StandIn(
        "comfy.utils",
        ProgressBar=ProgressBar,
        PROGRESS_BAR_ENABLED=True,
        PROGRESS_BAR_HOOK=None,
        load_torch_file=files.load,
        save_torch_file=save_torch_file,
        safetensors_header=safetensors_header,
        common_upscale=common_upscale,
        lanczos=lambda samples, width, height: resize(samples, width, height, "lanczos"),
        bislerp=lambda samples, width, height: resize(samples, width, height, "bislerp"),
        tiled_scale=tiles.tiled_scale,
        tiled_scale_multidim=tiles.tiled_scale_multidim,
        get_tiled_scale_steps=tiles.get_tiled_scale_steps,
        repeat_to_batch_size=repeat_to_batch_size,
        resize_to_batch_size=resize_to_batch_size,
        reshape_mask=reshape_mask,
        state_dict_prefix_replace=state_dict_prefix_replace,
        state_dict_key_replace=state_dict_key_replace,
        calculate_parameters=calculate_parameters,
        weight_dtype=weight_dtype,
        get_attr=get_attr,
        set_attr=set_attr,
        set_attr_param=set_attr_param,
        copy_to_param=copy_to_param,
    )

    def set_progress_bar_enabled(enabled: bool) -> None:
        vars(module)["PROGRESS_BAR_ENABLED"] = enabled

    vars(module)["set_progress_bar_enabled"] = set_progress_bar_enabled
    return module


class _WeightFiles:
    """Opens weight files under the rules of this worker's settings."""

    def __init__(self, host: Host) -> None:
        self._settings = host.settings

    def load(self, ckpt: str, safe_load: bool = False, device: Any = None, return_metadata: bool = False) -> Any:
        """The tensors of a weight file by key, on `device` (CPU by default); with its metadata on request.

        Pickled files are converted in a child process whatever `safe_load` says. Raises CheckpointError.
        """
        policy = ConversionPolicy(self._settings.folders.data / "converted", self._settings.allow_unsafe_pickles)
        with open_checkpoint(Path(ckpt), policy) as checkpoint:
            tensors = {key: checkpoint.tensor(key) for key in checkpoint.tensors}
            metadata = dict(checkpoint.metadata) or None
        if device is not None and torch.device(device).type != "cpu":
            tensors = {key: value.to(device) for key, value in tensors.items()}
        return (tensors, metadata) if return_metadata else tensors


def save_torch_file(sd: Mapping[str, torch.Tensor], ckpt: str, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as a safetensors file; it appears complete or not at all."""
    specs = {key: (value.dtype, tuple(value.shape)) for key, value in sd.items()}
    write_safetensors(Path(ckpt), specs, lambda key: sd[key], metadata)


def safetensors_header(safetensors_path: str, max_size: int = 100 * 1024 * 1024) -> bytes | None:
    """The JSON header of a safetensors file; None when it is longer than `max_size`."""
    read_header(Path(safetensors_path))
    with open(safetensors_path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return None if length > max_size else stream.read(length)


def common_upscale(samples: torch.Tensor, width: int, height: int, upscale_method: str, crop: str) -> torch.Tensor:
    """Resize [b c h w] (or [b c t h w]) with any method; `crop` "center" keeps the aspect ratio."""
    return resize(samples, int(width), int(height), upscale_method, crop)


def repeat_to_batch_size(tensor: torch.Tensor, batch_size: int, dim: int = 0) -> torch.Tensor:
    """Cut or repeat along `dim` to exactly `batch_size` items."""
    length = tensor.shape[dim]
    if length > batch_size:
        return tensor.narrow(dim, 0, batch_size)
    if length == batch_size:
        return tensor
    counts = [1] * tensor.ndim
    counts[dim] = math.ceil(batch_size / length)
    return tensor.repeat(counts).narrow(dim, 0, batch_size)


def resize_to_batch_size(tensor: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Spread the items of the batch evenly over `batch_size` items (repeating or dropping some)."""
    length = tensor.shape[0]
    if length == batch_size:
        return tensor
    if batch_size <= 1:
        return tensor[:batch_size]
    if batch_size < length:
        scale = (length - 1) / (batch_size - 1)
        indices = [min(round(index * scale), length - 1) for index in range(batch_size)]
    else:
        scale = length / batch_size
        indices = [min(math.floor((index + 0.5) * scale), length - 1) for index in range(batch_size)]
    return tensor[indices]


def reshape_mask(input_mask: torch.Tensor, output_shape: Iterable[int]) -> torch.Tensor:
    """A mask as large as `output_shape` [b c h w] (or [b c t h w]), repeated over channels and batch."""
    shape = tuple(output_shape)
    mask = input_mask.reshape(-1, 1, *input_mask.shape[-2:])
    mask = torch.nn.functional.interpolate(mask, size=shape[-2:], mode="bilinear")
    if len(shape) == 5:
        mask = mask.unsqueeze(2).expand(-1, -1, shape[2], -1, -1)
    if mask.shape[1] < shape[1]:
        mask = mask.repeat(1, shape[1], *[1] * (mask.ndim - 2))[:, : shape[1]]
    return repeat_to_batch_size(mask, shape[0])


def state_dict_prefix_replace(
    state_dict: MutableMapping[str, Any], replace_prefix: Mapping[str, str], filter_keys: bool = False
) -> MutableMapping[str, Any]:
    """Rename key prefixes, in place, or into a new mapping of only those keys with `filter_keys`."""
    target: MutableMapping[str, Any] = {} if filter_keys else state_dict
    for old, new in replace_prefix.items():
        for key in [key for key in state_dict if key.startswith(old)]:
            target[new + key[len(old) :]] = state_dict.pop(key)
    return target


def state_dict_key_replace(state_dict: MutableMapping[str, Any], keys_to_replace: Mapping[str, str]) -> Any:
    """Rename whole keys in place."""
    for old, new in keys_to_replace.items():
        if old in state_dict:
            state_dict[new] = state_dict.pop(old)
    return state_dict


def calculate_parameters(sd: Mapping[str, torch.Tensor], prefix: str = "") -> int:
    """Number of elements of the tensors whose key starts with `prefix`."""
    return sum(value.nelement() for key, value in sd.items() if key.startswith(prefix))


def weight_dtype(sd: Mapping[str, torch.Tensor], prefix: str = "") -> torch.dtype | None:
    """The dtype most elements have; None without tensors."""
    counts: dict[torch.dtype, int] = {}
    for key, value in sd.items():
        if key.startswith(prefix):
            counts[value.dtype] = counts.get(value.dtype, 0) + value.numel()
    return max(counts, key=lambda dtype: counts[dtype]) if counts else None


def get_attr(obj: Any, attr: str) -> Any:
    """The value at a dotted path."""
    for name in attr.split("."):
        obj = getattr(obj, name)
    return obj


def set_attr(obj: Any, attr: str, value: Any) -> Any:
    """Set the value at a dotted path; gives the previous one."""
    *path, last = attr.split(".")
    owner = get_attr(obj, ".".join(path)) if path else obj
    previous = getattr(owner, last)
    setattr(owner, last, value)
    return previous


def set_attr_param(obj: Any, attr: str, value: torch.Tensor) -> Any:
    """Set a dotted path to a parameter that needs no gradient."""
    return set_attr(obj, attr, torch.nn.Parameter(value, requires_grad=False))


def copy_to_param(obj: Any, attr: str, value: torch.Tensor) -> None:
    """Copy values into the parameter at a dotted path."""
    target: Callable[[torch.Tensor], Any] = get_attr(obj, attr).data.copy_
    target(value)
