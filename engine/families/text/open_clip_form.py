"""Text encoders by OpenCLIP's names, for writing: the way back from the names of transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from engine.weights.weight_file import FileTensor

__all__ = ["open_clip_tensors"]

_LAYER = r"text_model\.encoder\.layers\.(\d+)\."
_TARGET = r"transformer.resblocks.\1."
_RENAMES = tuple(
    (re.compile(pattern), target)
    for pattern, target in (
        (r"text_model\.embeddings\.token_embedding\.weight", "token_embedding.weight"),
        (r"text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
        (r"text_model\.final_layer_norm\.(.*)", r"ln_final.\1"),
        (_LAYER + r"layer_norm([12])\.(.*)", _TARGET + r"ln_\2.\3"),
        (_LAYER + r"self_attn\.out_proj\.(.*)", _TARGET + r"attn.out_proj.\2"),
        (_LAYER + r"mlp\.fc1\.(.*)", _TARGET + r"mlp.c_fc.\2"),
        (_LAYER + r"mlp\.fc2\.(.*)", _TARGET + r"mlp.c_proj.\2"),
    )
)
_QUERY = re.compile(_LAYER + r"self_attn\.q_proj\.(weight|bias)")
_PARTS = re.compile(_LAYER + r"self_attn\.[kv]_proj\.(?:weight|bias)")
_PROJECTION = "text_projection.weight"


def open_clip_tensors(tensors: Mapping[str, FileTensor]) -> dict[str, FileTensor]:
    """The same weights as OpenCLIP stores them: q, k and v in one tensor, the projection the other way round."""
    found: dict[str, FileTensor] = {}
    for name, tensor in tensors.items():
        query = _QUERY.fullmatch(name)
        if name == _PROJECTION:
            found["text_projection"] = _turned(tensor)
        elif query is not None:
            parts = [tensors[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            found[query.expand(_TARGET + r"attn.in_proj_\2")] = _stacked(parts)
        elif _PARTS.fullmatch(name) is None:
            found[_renamed(name)] = tensor
    return found


def _renamed(name: str) -> str:
    for pattern, target in _RENAMES:
        match = pattern.fullmatch(name)
        if match is not None:
            return match.expand(target)
    return name


def _turned(tensor: FileTensor) -> FileTensor:
    return FileTensor(tensor.dtype, tensor.shape[::-1], lambda: tensor.read().t().contiguous())


def _stacked(parts: Sequence[FileTensor]) -> FileTensor:
    first = parts[0]

    def read() -> Tensor:
        return torch.cat([part.read() for part in parts])

    return FileTensor(first.dtype, (sum(part.shape[0] for part in parts), *first.shape[1:]), read)
