"""The invisible watermark of Stability's scripts: putting it into pictures and looking for it."""

from __future__ import annotations

import torch

from engine.api import Bool, Context, Image, Int, String, imaging, node

__all__ = ["detect_watermark", "embed_watermark"]

CATEGORY = "image/watermark"


@node("Watermark", title="Invisible Watermark", category=CATEGORY)
def embed_watermark(images: Image, message: String = imaging.STABILITY_MESSAGE, *, ctx: Context) -> Image:
    """Write 48 bits (12 hexadecimal digits) into the colours of each image, as the invisible-watermark library reads.

    The images come out in 8 bits a channel. They need 256×256 pixels or more; scaling or cropping removes the mark.
    """
    bits = imaging.message_bits(message)
    marked = []
    for number, image in enumerate(imaging.require_batch(images, "images"), start=1):
        ctx.check_cancelled()
        color = torch.from_numpy(imaging.embed_watermark(_bytes(image).numpy(), bits)).float() / 255.0
        marked.append(torch.cat([color, image[..., 3:].float().cpu()], dim=-1))
        ctx.progress(number, len(images))
    return torch.stack(marked)


@node(
    "WatermarkDetect",
    title="Detect Invisible Watermark",
    category=CATEGORY,
    output_names=("is_found", "bits_matched", "report"),
)
def detect_watermark(
    images: Image, message: String = imaging.STABILITY_MESSAGE, *, ctx: Context
) -> tuple[Bool, Int, String]:
    """How many of the 48 bits each image shows; the verdict is that of Stability's detector. Shown on the node, too.

    Of several images the one with the fewest bits counts for `is_found` and `bits_matched`.
    """
    bits = imaging.message_bits(message)
    readings = [
        imaging.compare_watermark(_bytes(image).numpy(), bits) for image in imaging.require_batch(images, "images")
    ]
    report = "\n".join(f"{item.num_matched} of {item.num_bits} bits: {item.verdict}" for item in readings)
    ctx.text(report)
    fewest = min(readings, key=lambda item: item.num_matched)
    return fewest.is_found, fewest.num_matched, report


def _bytes(image: torch.Tensor) -> torch.Tensor:
    """uint8 [h w 3] of an image [h w c]; grey ones get three equal channels."""
    return imaging.to_bytes(image[..., :3].expand(-1, -1, 3) if image.shape[-1] == 1 else image[..., :3])
