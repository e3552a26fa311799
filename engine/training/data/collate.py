"""From examples to a batch: tensors stacked, numbers as one tensor, texts as a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.training.config.error import ConfigError

__all__ = ["Batch", "Example", "collate"]

Example = Mapping[str, Any]
"""One item: `image` or `latent` float32 [c h w], `text` str, `class` int, `original_size`, `crop_top_left`,
`target_size` int [2] (height first), and whatever else an embedder reads by its `input_key`."""

Batch = dict[str, Any]
"""The same keys over many items: tensors [b …], lists of texts; `first_draw` int: the first example's draw."""


def collate(examples: Sequence[Example]) -> Batch:
    """One batch of examples with the same keys.

    Tensors are stacked, ints become int64 [b], floats float32 [b]; anything else stays a list.

    Raises ConfigError when keys or shapes differ between examples.
    """
    keys = examples[0].keys()
    for example in examples:
        if example.keys() != keys:
            raise ConfigError(
                f"Examples of one batch hold different keys: {sorted(keys)} and {sorted(example.keys())}.",
                hint="A data source must give every example the same keys.",
            )
    return {key: _joined(key, [example[key] for example in examples]) for key in keys}


def _joined(key: str, values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        shapes = {tuple(value.shape) for value in values}
        if len(shapes) > 1:
            raise ConfigError(
                f"The {key!r} of one batch have different shapes: {sorted(shapes)}.",
                hint="Resize or crop them to one size, or use aspect-ratio buckets.",
            )
        return torch.stack(values)
    if isinstance(first, int):
        return torch.tensor(values, dtype=torch.int64)
    if isinstance(first, float):
        return torch.tensor(values, dtype=torch.float32)
    return values
