"""`comfy.utils.ProgressBar`: reports to the node call that made it, from whatever thread it is updated."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.api import Cancelled, Context
from engine.compat.comfyui.worker.running import running
from engine.compat.comfyui.worker.standins.interrupt import InterruptProcessingException

__all__ = ["ProgressBar", "preview_image"]


class ProgressBar:
    """Counts to `total`. Every update also stops the node (InterruptProcessingException) when its job is cancelled."""

    def __init__(self, total: float, node_id: str | None = None) -> None:
        self.total = total
        self.current: float = 0
        self.node_id = node_id
        self._context: Context | None = running()

    def update_absolute(self, value: float, total: float | None = None, preview: Any = None) -> None:
        """Set the count, and the total if given; `preview` is a picture (or ("JPEG", picture, max size))."""
        if total is not None:
            self.total = total
        self.current = min(value, self.total)
        if self._context is not None:
            try:
                self._context.progress(float(self.current), float(self.total), preview_image(preview))
            except Cancelled as error:
                raise InterruptProcessingException(error.message) from error

    def update(self, value: float) -> None:
        """Add to the count."""
        self.update_absolute(self.current + value)


def preview_image(preview: Any) -> torch.Tensor | None:
    """A picture as [h w c] in [0, 1]: a Pillow image, the classic (format, picture, size) tuple, or a tensor."""
    if preview is None:
        return None
    picture = preview[1] if isinstance(preview, (tuple, list)) else preview
    if isinstance(picture, torch.Tensor):
        image = picture.detach().float().cpu()
        return image[0] if image.ndim == 4 else image
    pixels = np.asarray(picture.convert("RGB"))
    return torch.from_numpy(pixels.astype(np.float32) / 255.0)
