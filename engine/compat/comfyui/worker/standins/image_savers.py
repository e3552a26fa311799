"""`nodes.SaveImage` and `nodes.PreviewImage` as packs subclass them.

Packs read the names that `save_images` returns, and the files, before their function ends. So the files are placed by
the engine in the middle of the call, exactly once like those of built-in nodes. Where that cannot be (no call runs, the
call is a coroutine, the pack chose a folder of its own) they are written directly.
"""

from __future__ import annotations

import json
import os
import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.running import running
from engine.compat.comfyui.worker.standins.folder_paths import FolderPaths
from engine.core.containment import resolve_inside
from engine.imaging import encode_png

__all__ = ["image_savers"]

_Entries = tuple[tuple[str, str], ...]


def image_savers(host: Host) -> dict[str, Any]:
    """SaveImage and PreviewImage for the folders of `host`."""
    folders = host.settings.folders
    own = {
        "_paths": FolderPaths(host),
        "_writes_metadata": host.settings.metadata_enabled,
        "_roots": {"temp": folders.temp, "output": folders.output},
        "__module__": "nodes",
    }
    save = type("SaveImage", (_SaveImage,), {**own, "__doc__": _SaveImage.__doc__})
    # PreviewImage is a SaveImage: packs test for it and call its method.
    preview = type("PreviewImage", (_PreviewMembers, save), {**own, "__doc__": _PreviewMembers.__doc__})
    return {"SaveImage": save, "PreviewImage": preview}


class _SaveImage:
    """Writes images into the output folder."""

    RETURN_TYPES = ()
    FUNCTION = "save_images"
    OUTPUT_NODE = True
    CATEGORY = "image"
    DESCRIPTION = "Saves the input images to your ComfyUI output directory."
    _paths: FolderPaths
    _writes_metadata: bool
    _roots: Mapping[str, Path]

    def __init__(self) -> None:
        self.output_dir = self._paths.get_output_directory()
        self.type = "output"
        self.prefix_append = ""
        self.compress_level = 4

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The inputs."""
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save_images(
        self, images: Any, filename_prefix: str = "ComfyUI", prompt: Any = None, extra_pnginfo: Any = None
    ) -> dict[str, Any]:
        """Write each image [h w c] as PNG; gives the UI output that names the files."""
        entries = _entries(prompt, extra_pnginfo) if self._writes_metadata else ()
        context, place = running(), self._place()
        if place is not None and getattr(context, "place_files", None) is not None:
            return {"ui": {"images": self._stage(context, place, images, filename_prefix, entries)}}
        first = images[0]
        folder, name, counter, subfolder, _ = self._paths.get_save_image_path(
            filename_prefix + self.prefix_append, self.output_dir, first.shape[1], first.shape[0]
        )
        saved = []
        for number, image in enumerate(images):
            filename = f"{name.replace('%batch_num%', str(number))}_{counter:05}_.png"
            _write(folder, filename, encode_png(image, entries, self.compress_level))
            saved.append({"filename": filename, "subfolder": subfolder, "type": self.type})
            counter += 1
        return {"ui": {"images": saved}}

    def _place(self) -> tuple[str, str] | None:
        """(temp or output, folders below it) of `output_dir`; None when it lies elsewhere."""
        chosen = Path(os.path.realpath(self.output_dir))
        for kind, path in self._roots.items():
            root = Path(os.path.realpath(path))
            if chosen == root or root in chosen.parents:
                return kind, "" if chosen == root else chosen.relative_to(root).as_posix() + "/"
        return None

    def _stage(
        self, context: Any, place: tuple[str, str], images: Any, filename_prefix: str, entries: _Entries
    ) -> list[dict[str, Any]]:
        kind, folders = place
        for number, image in enumerate(images):
            context.save_file(
                encode_png(image, entries, self.compress_level),
                prefix=folders + filename_prefix + self.prefix_append,
                extension="png",
                media_type="image/png",
                folder=kind,
                width_px=image.shape[1],
                height_px=image.shape[0],
                batch_number=number,
            )
        saved: list[dict[str, Any]] = context.commit_files(len(images))
        return saved


class _PreviewMembers(_SaveImage):
    """Writes images into the temp folder."""

    DESCRIPTION = ""

    def __init__(self) -> None:
        super().__init__()
        self.output_dir = self._paths.get_temp_directory()
        self.type = "temp"
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
        self.prefix_append = f"_temp_{letters}"
        self.compress_level = 1

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The inputs."""
        return {
            "required": {"images": ("IMAGE",)},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }


def _entries(prompt: Any, extra_pnginfo: Any) -> _Entries:
    entries = [("prompt", json.dumps(prompt))] if prompt is not None else []
    entries += [(str(key), json.dumps(value)) for key, value in (extra_pnginfo or {}).items()]
    return tuple(entries)


def _write(folder: str, filename: str, data: bytes) -> None:
    """The file appears complete or not at all."""
    target = resolve_inside(Path(folder), filename)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_bytes(data)
    partial.replace(target)
