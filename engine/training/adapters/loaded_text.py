"""The text encoders of a loaded checkpoint as an embedder: texts become what the checkpoint's network takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from engine.diffusion.condition_inputs import ConditionInputs, merge_inputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.families.contract import TextEncoding
from engine.families.denoiser import NetworkDenoiser
from engine.training.adapters.direct_host import DirectHost
from engine.training.embedders.embedder import Embedder, read_key

__all__ = ["LoadedText", "plain_text"]

_REMEMBERED_TEXTS = 1024
_SIZE_KEYS = (
    ("original_size", ("height", "width")),
    ("crop_top_left", ("crop_h", "crop_w")),
    ("target_size", ("target_height", "target_width")),
)
_SPECIAL = re.compile(r"([\\()])")


def plain_text(text: str) -> str:
    """A caption whose brackets mean themselves; in prompts they weigh words."""
    return _SPECIAL.sub(r"\\\1", text)


class LoadedText(Embedder):
    """Encodes with the CLIP handle and conditions with the MODEL handle, so every family does it its own way.

    Keys: networks.N.…

    model, clip: handles on `host`. networks: the modules behind `clip`. word: text → text before it is encoded.
    """

    def __init__(
        self,
        model: NetworkDenoiser,
        clip: Any,
        host: DirectHost,
        networks: list[nn.Module],
        *,
        ucg_rate: float,
        is_trainable: bool,
        rewrite: Callable[[str, int], str] | None = None,
    ) -> None:
        super().__init__("text", ucg_rate, is_trainable)
        self.networks = nn.ModuleList(networks)
        self._model = model
        self._clip = clip
        self._host = host
        self._rewrite = rewrite
        self._remembered: Callable[[str], TextEncoding] = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._encode)

    def requires_grad_(self, requires_grad: bool = True) -> LoadedText:
        """What is learned was decided when the networks were made."""
        return self

    def forward(self, batch: Mapping[str, Any], dropped: Tensor | None, device: torch.device) -> tuple[Tensor, ...]:
        """The context, and the vector of families that have one."""
        self._host.go_to(device)
        texts = read_key(batch, self.input_key)
        first = int(batch.get("first_draw", 0))
        rows = []
        for row, text in enumerate(texts):
            is_dropped = dropped is not None and bool(dropped[row])
            rows.append(self._inputs("" if is_dropped else self._said(text, first + row), batch, row, device))
        merged = merge_inputs(rows, [1] * len(rows))
        return tuple(tensor.to(device) for tensor in (merged.context, merged.vector) if tensor is not None)

    def _said(self, text: str, draw: int) -> str:
        escaped = plain_text(text)
        return escaped if self._rewrite is None else self._rewrite(escaped, draw)

    def _inputs(self, text: str, batch: Mapping[str, Any], row: int, device: torch.device) -> ConditionInputs:
        encoding = self._encode(text) if self.is_trainable else self._remembered(text)
        extras = dict(encoding.extra)
        for key, names in _SIZE_KEYS:
            if key in batch:
                extras.update(zip(names, (int(number) for number in batch[key][row]), strict=True))
        entry = ConditioningEntry(encoding.context, encoding.pooled, extras=MappingProxyType(extras))
        form = self._model.latent_format
        return self._model.condition(entry, torch.zeros(1, form.num_channels, 8, 8, device=device), None)

    def _encode(self, text: str) -> TextEncoding:
        return self._clip.encode(text)
