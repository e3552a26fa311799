"""Draws the test pictures beside this file. Run it to make them anew; the results are committed."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent


def landscape(width: int, height: int, seed: int = 0) -> Image.Image:
    """A lake under hills at dusk: smooth sky, sun, ridges, ripples and grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    top, horizon = np.array([38, 66, 128]), np.array([250, 178, 112])
    sky = top + (horizon - top) * (y[..., None] / 0.62) ** 1.4
    sun = np.exp(-(((x - 0.68) * width / height) ** 2 + (y - 0.42) ** 2) / 0.006)[..., None]
    scene = sky + sun * np.array([255, 225, 170])
    for depth, (level, shade) in enumerate(((0.46, (96, 92, 130)), (0.53, (58, 66, 92)), (0.59, (26, 40, 48)))):
        ridge = level + sum(0.05 / (k + 1) * np.sin(x * (7 + 6 * k) + depth * 2.1 + k) for k in range(4))
        scene = np.where((y > ridge)[..., None], np.array(shade), scene)
    water = (y - 0.66) / 0.34
    ripples = 14 * np.sin(y * 220 + 6 * np.sin(x * 19)) * np.clip(water, 0, 1)
    lake = (
        np.array([52, 78, 108])
        + (ripples + 60 * np.exp(-(((x - 0.68) / 0.07) ** 2)) * np.clip(1 - water, 0, 1))[..., None]
    )
    scene = np.where((y > 0.66)[..., None], lake, scene) + rng.normal(0, 3, (height, width, 1))
    picture = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for trunk in (0.09, 0.17, 0.93):
        foot = int(0.9 * height)
        for tier in range(5):
            half, base = (5 - tier) * width * 0.011, foot - tier * height * 0.075
            draw.polygon(
                [(trunk * width - half, base), (trunk * width + half, base), (trunk * width, base - height * 0.12)],
                fill=(14, 34 + 4 * tier, 30),
            )
    return picture


def portrait(width: int, height: int) -> Image.Image:
    """A clay figure before a plain wall, with soft light from the left."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    scene = np.stack([150 - 30 * x, 158 - 26 * x, 166 - 20 * x], -1)
    for cx, cy, rx, ry, color in ((0, -0.2, 0.34, 0.42, (206, 142, 108)), (0, 0.95, 0.8, 0.75, (70, 92, 120))):
        inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        light = np.clip(1.15 - 0.45 * (x - cx) / rx - 0.25 * inside, 0.35, 1.3)[..., None]
        scene = np.where((inside < 1)[..., None], np.array(color) * light, scene)
    picture = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
    draw = ImageDraw.Draw(picture)
    for eye in (-0.13, 0.13):
        cx, cy = (1 + eye) / 2 * width, 0.36 * height
        draw.ellipse((cx - 4, cy - 3, cx + 4, cy + 3), fill=(40, 30, 30))
    return picture


def png16(pixels: np.ndarray) -> bytes:
    """A 16-bit RGB PNG, which Pillow cannot write."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def frames(count: int) -> list[Image.Image]:
    scene = landscape(96, 64, 3)
    pictures = []
    for index in range(count):
        frame = scene.copy()
        ImageDraw.Draw(frame).ellipse((8 + index * 18, 18, 20 + index * 18, 30), fill=(250, 240, 120))
        pictures.append(frame)
    return pictures


def main() -> None:
    photo = landscape(192, 128)
    photo.save(HERE / "photo.png", optimize=True)
    photo.save(HERE / "photo.jpg", quality=88)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.transpose(Image.Transpose.ROTATE_90).save(HERE / "rotated.jpg", quality=90, exif=exif)
    photo.convert("CMYK").resize((96, 64)).save(HERE / "cmyk.jpg", quality=88)
    face = portrait(96, 128)
    y, x = np.mgrid[-1:1:128j, -1:1:96j]
    alpha = np.clip((1.05 - np.hypot(x, y)) * 4, 0, 1) * 255
    face.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    face.save(HERE / "cutout.png", optimize=True)
    face.convert("LA").save(HERE / "grey_alpha.png", optimize=True)
    photo.convert("L").save(HERE / "grey.png", optimize=True)
    ramp = np.linspace(0, 65535, 64 * 32).reshape(32, 64).astype(np.uint16)
    Image.fromarray(ramp).save(HERE / "grey16.png", optimize=True)
    (HERE / "rgb16.png").write_bytes(png16(np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1)))
    palette = photo.resize((96, 64)).quantize(32)
    palette.save(HERE / "palette.png", optimize=True)
    palette.save(HERE / "palette_clear.png", transparency=palette.getpixel((0, 0)), optimize=True)
    photo.convert("1").save(HERE / "bilevel.png", optimize=True)
    clips = frames(4)
    clips[0].save(HERE / "clip.gif", save_all=True, append_images=clips[1:], duration=120, loop=0)
    clips[0].save(HERE / "clip.webp", save_all=True, append_images=clips[1:], duration=120, quality=80)
    clips[0].save(HERE / "clip.png", save_all=True, append_images=clips[1:], duration=120)
    odd = [clips[0], clips[1].resize((40, 40)), clips[2]]
    odd[0].save(HERE / "pages.tiff", save_all=True, append_images=odd[1:], compression="tiff_lzw")
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=88)
    (HERE / "cut_off.jpg").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


if __name__ == "__main__":
    main()
