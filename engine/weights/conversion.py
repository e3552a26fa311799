"""Another file of the same weights: in another dtype, with or without the moving average of training."""

from __future__ import annotations

from typing import Literal

import torch

from engine.weights.checkpoint import TORCH_DTYPES, Checkpoint
from engine.weights.remap import SCALE_ENDS, SCALE_MARK, WEIGHT_SCALE
from engine.weights.weight_file import FileTensor, WeightFile

__all__ = ["AverageUse", "converted_weights"]

AverageUse = Literal["keep", "drop", "use"]
_AVERAGE = "model_ema."
_STATED_HASHES = frozenset({"modelspec.hash_sha256", "sshs_model_hash", "sshs_legacy_hash"})


def converted_weights(
    checkpoint: Checkpoint, *, dtype: torch.dtype | None = None, average: AverageUse = "keep"
) -> WeightFile:
    """The file's tensors by their own keys, to be written.

    dtype: of floating-point tensors, None for each its own. Top-level entries (schedules, marks) keep theirs. Weights
    of eight bits are multiplied by the scales beside them, which are then left out.
    average: keep the moving average, drop it, or put it in the place of the weights it is of.
    Stated hashes are left out of the metadata unless the data stay what they are.
    """
    places = _averages(checkpoint) if average == "use" else {}
    tensors = {
        key: _tensor(checkpoint, key, places.get(key, key), dtype)
        for key in checkpoint.tensors
        if (average == "keep" or not key.startswith(_AVERAGE)) and (dtype is None or not _is_scale(key))
    }
    is_same = average == "keep" and dtype is None
    metadata = {key: text for key, text in checkpoint.metadata.items() if is_same or key not in _STATED_HASHES}
    return WeightFile(tensors, metadata)


def _tensor(checkpoint: Checkpoint, key: str, place: str, dtype: torch.dtype | None) -> FileTensor:
    stored = TORCH_DTYPES[checkpoint.tensors[key].dtype]

    def read() -> torch.Tensor:
        tensor = checkpoint.tensor(place).clone()
        checkpoint.release([place])
        if not tensor.is_floating_point() or tensor.dtype.itemsize > 1 or dtype is None:
            return tensor
        return _multiplied(tensor.float(), checkpoint, place)

    is_changed = dtype is not None and stored.is_floating_point and "." in key
    return FileTensor(dtype if is_changed and dtype else stored, checkpoint.tensors[key].shape, read)


def _is_scale(key: str) -> bool:
    return key.rpartition(".")[2] in (*SCALE_ENDS, SCALE_MARK)


def _multiplied(weight: torch.Tensor, checkpoint: Checkpoint, key: str) -> torch.Tensor:
    scale = key.removesuffix("weight") + WEIGHT_SCALE
    if scale not in checkpoint.tensors:
        return weight
    values = checkpoint.tensor(scale).float()
    return weight * (values.reshape(-1, *(1,) * (weight.ndim - 1)) if values.numel() > 1 else values.reshape(()))


def _averages(checkpoint: Checkpoint) -> dict[str, str]:
    """Key of a weight → key of its average, which training scripts store without the dots."""
    keys = [key for key in checkpoint.tensors if not key.startswith(_AVERAGE)]
    found = {key: _AVERAGE + key.removeprefix("model.").replace(".", "") for key in keys}
    return {key: average for key, average in found.items() if average in checkpoint.tensors}
