"""A context that keeps what a node does, for calling node functions without a worker."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from engine.core.errors import Cancelled, NodeError


@dataclass
class KeptFile:
    data: bytes
    prefix: str
    extension: str
    media_type: str
    folder: str
    ui_key: str
    width_px: int
    height_px: int
    batch_number: int

    def picture(self) -> Image.Image:
        return Image.open(io.BytesIO(self.data))


@dataclass
class KeepingContext:
    """Reads input files from `folder`; keeps files, texts, images and progress in lists."""

    folder: Path
    job_id: str = "job-1"
    node_id: str = "7"
    metadata_policy: str = "full"
    is_cancelled: bool = False
    files: list[KeptFile] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    images: list[tuple[torch.Tensor, int, int]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    paths_asked: list[str] = field(default_factory=list)

    @property
    def metadata_enabled(self) -> bool:
        return self.metadata_policy == "full"

    def check_cancelled(self) -> None:
        if self.is_cancelled:
            raise Cancelled("The job was cancelled.")

    def progress(self, value: float, maximum: float, preview: torch.Tensor | None = None) -> None:
        self.check_cancelled()

    def send_image(self, image: torch.Tensor, index: int, total: int) -> None:
        self.images.append((image, index, total))

    def text(self, text: str) -> None:
        self.texts.append(text)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def input_path(self, name: str) -> Path:
        self.paths_asked.append(name)
        path = self.folder / name.removesuffix(" [output]").removesuffix(" [input]")
        if not path.is_file():
            raise NodeError(f"There is no file {name}.", code="file_missing")
        return path

    def save_file(
        self,
        data: bytes,
        *,
        prefix: str,
        extension: str,
        media_type: str,
        folder: str = "output",
        ui_key: str = "images",
        numbered: bool = True,
        width_px: int = 0,
        height_px: int = 0,
        batch_number: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.files.append(
            KeptFile(data, prefix, extension, media_type, folder, ui_key, width_px, height_px, batch_number)
        )
