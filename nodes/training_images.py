"""Folders of pictures, with or without texts, as batches to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch

from engine.api import Clip, Conditioning, Context, Image, InputFile, NodeError, Range, imaging, node

__all__ = ["load_image_set", "load_image_text_set"]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})

InputFolder = Annotated[str, InputFile("folders", upload=False)]
Fit = Literal["None", "Stretch", "Crop", "Pad"]
Side = Annotated[int, Range(-1, 10000, step=1)]


@node("LoadImageSetFromFolderNode", title="Load Image Dataset from Folder", category="loaders", experimental=True,
      lane="io", optional=("resize_method",))  # fmt: skip
def load_image_set(folder: InputFolder, ctx: Context, resize_method: Fit = "None") -> Image:
    """Every picture of a folder below the input folder, by name, as one batch of the first picture's size."""
    return _load(_pictures(ctx.input_path(folder), folder), resize_method, ctx)


@node("LoadImageTextSetFromFolderNode", title="Load Image and Text Dataset from Folder", category="loaders",
      experimental=True, lane="device", optional=("resize_method", "width", "height"))  # fmt: skip
def load_image_text_set(
    folder: InputFolder, clip: Clip, ctx: Context, resize_method: Fit = "None", width: Side = -1, height: Side = -1
) -> tuple[Image, Conditioning]:
    """The pictures of a folder as one batch, and for each the text of the `.txt` file of its name as conditioning.

    A size of -1 is the first picture's. Folders called "5_name" count every picture in them 5 times, as kohya's
    scripts do. A picture without a text file gets the empty text and a warning.
    """
    if clip is None:
        raise NodeError("The clip input is empty.", code="missing_text_encoder", input="clip")
    paths = _pictures(ctx.input_path(folder), folder)
    images = _load(paths, resize_method, ctx, width, height)
    encoded: dict[str, list[object]] = {}
    conditioning = []
    for path in paths:
        text = _caption(path, ctx)
        if text not in encoded:
            encoding = clip.encode(text, warn=ctx.warn)
            pooled = {} if encoding.pooled is None else {"pooled_output": encoding.pooled}
            encoded[text] = [encoding.context, {**encoding.extra, **pooled}]
        conditioning.append(encoded[text])
    return images, conditioning


def _pictures(root: Path, name: str) -> list[Path]:
    """The pictures of a folder, then those of its subfolders that say how often theirs count."""
    found = _in_folder(root)
    for folder in sorted(item for item in root.iterdir() if item.is_dir()):
        times, _, rest = folder.name.partition("_")
        if times.isdecimal() and rest:
            found += _in_folder(folder) * int(times)
    if not found:
        raise NodeError(
            f"There is no picture in the folder {name!r}.",
            code="no_pictures",
            hint=f"Put pictures there ({', '.join(sorted(_SUFFIXES))}).",
            input="folder",
        )
    return found


def _in_folder(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())


def _caption(path: Path, ctx: Context) -> str:
    try:
        return path.with_suffix(".txt").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        ctx.warn(f"{path.name} has no text file; it is trained with the empty text.")
    except (OSError, UnicodeDecodeError) as error:
        ctx.warn(f"The text of {path.name} cannot be read ({error}); it is trained with the empty text.")
    return ""


def _load(paths: list[Path], method: str, ctx: Context, width: int = -1, height: int = -1) -> torch.Tensor:
    """All pictures as one batch [b h w 3]."""
    images: list[torch.Tensor] = []
    for number, path in enumerate(paths):
        image = imaging.decode_images(path, path.name)[0][:1]
        if not images:
            width = image.shape[2] if width < 1 else width
            height = image.shape[1] if height < 1 else height
        images.append(_fitted(image, width, height, method, path.name))
        ctx.progress(number + 1, len(paths))
    return torch.cat(images)


def _fitted(image: torch.Tensor, width: int, height: int, method: str, name: str) -> torch.Tensor:
    """One picture [1 h w 3] in the wanted size. Raises NodeError when it has another one and may not be changed."""
    if tuple(image.shape[1:3]) == (height, width):
        return image
    if method == "None":
        raise NodeError(
            f"{name} is {image.shape[2]}×{image.shape[1]}, the others are {width}×{height}.",
            code="mixed_sizes",
            hint="Choose Stretch, Crop or Pad as resize_method.",
            input="resize_method",
        )
    if method != "Pad":
        return imaging.resize_images(image, width, height, "lanczos", "center" if method == "Crop" else "disabled")
    factor = min(width / image.shape[2], height / image.shape[1])
    inner_width, inner_height = max(1, round(image.shape[2] * factor)), max(1, round(image.shape[1] * factor))
    inner = imaging.resize_images(image, inner_width, inner_height, "lanczos", "disabled")
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    padding = (0, 0, left, width - inner_width - left, top, height - inner_height - top)
    return torch.nn.functional.pad(inner, padding)
