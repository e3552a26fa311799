"""`comfy_api.latest.ui`: UI output of schema-form nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.standins.image_savers import image_savers
from engine.compat.comfyui.worker.standins.module import StandIn

__all__ = ["build_ui"]


class SavedResult(dict):  # type: ignore[type-arg]
    """A file in a UI output."""

    def __init__(self, filename: str, subfolder: str, type: Any) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=getattr(type, "value", type))

    @property
    def filename(self) -> str:
        """The file's name."""
        return self["filename"]

    @property
    def subfolder(self) -> str:
        """Its folder below the working folder."""
        return self["subfolder"]

    @property
    def type(self) -> str:
        """The working folder."""
        return self["type"]


class SavedImages:
    """Images that were written already."""

    def __init__(self, results: Iterable[SavedResult], is_animated: bool = False) -> None:
        self.results = list(results)
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, Any]:
        """The UI output."""
        record: dict[str, Any] = {"images": self.results}
        if self.is_animated:
            record["animated"] = (True,)
        return record


class PreviewText:
    """A text shown on the node."""

    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        """The UI output."""
        return {"text": (self.value,)}


class PreviewImage:
    """Images [b h w c] shown on the node, written to the temp folder."""

    _savers: Mapping[str, Any]

    def __init__(self, image: torch.Tensor, animated: bool = False, cls: Any = None, **_: Any) -> None:
        saved = self._savers["PreviewImage"]().save_images(image, **_metadata_of(cls))
        self.values = [SavedResult(**item) for item in saved["ui"]["images"]]
        self.animated = animated

    def as_dict(self) -> dict[str, Any]:
        """The UI output."""
        return {"images": self.values, "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    """Masks [b h w] shown as grey images."""

    def __init__(self, mask: torch.Tensor, animated: bool = False, cls: Any = None, **more: Any) -> None:
        grey = mask.reshape(-1, mask.shape[-2], mask.shape[-1], 1).expand(-1, -1, -1, 3)
        super().__init__(grey, animated, cls, **more)


class ImageSaveHelper:
    """Writes images for nodes that report them themselves (one object; packs call it like a class)."""

    def __init__(self, savers: Mapping[str, Any]) -> None:
        self._savers = savers

    def save_images(
        self, images: torch.Tensor, filename_prefix: str, folder_type: Any = "output", cls: Any = None,
        compress_level: int = 4,
    ) -> list[SavedResult]:  # fmt: skip
        """Write PNGs; gives their names. `cls` is the node class whose hidden values become metadata."""
        kind = getattr(folder_type, "value", folder_type)
        saver = self._savers["SaveImage" if kind == "output" else "PreviewImage"]()
        saver.compress_level = compress_level
        saver.prefix_append = ""
        saved = saver.save_images(images, filename_prefix, **_metadata_of(cls))
        return [SavedResult(**item) for item in saved["ui"]["images"]]

    def get_save_images_ui(
        self, images: torch.Tensor, filename_prefix: str, cls: Any = None, compress_level: int = 4
    ) -> SavedImages:
        """Write PNGs into the output folder; gives the UI output."""
        return SavedImages(self.save_images(images, filename_prefix, "output", cls, compress_level))


def _metadata_of(node: Any) -> dict[str, Any]:
    hidden = getattr(node, "hidden", None)
    return {"prompt": getattr(hidden, "prompt", None), "extra_pnginfo": getattr(hidden, "extra_pnginfo", None)}


def build_ui(host: Host) -> StandIn:
    """The module for `host`; its previews go to the host's temp folder."""
    savers = {"_savers": image_savers(host)}
    preview = type("PreviewImage", (PreviewImage,), savers)
    return StandIn(
        "comfy_api.latest.ui",
        SavedResult=SavedResult,
        SavedImages=SavedImages,
        PreviewText=PreviewText,
        PreviewImage=preview,
        PreviewMask=type("PreviewMask", (PreviewMask,), savers),
        ImageSaveHelper=ImageSaveHelper(savers["_savers"]),
    )
