"""Picture files made to harm: each is refused with a clear error before it costs memory or time."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from engine.core.errors import NodeError
from engine.imaging import decode_channel, decode_images
from nodes.image_files import capture_webcam

PICTURES = Path(__file__).parents[2] / "data" / "images"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, pixels: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def refused(path: Path) -> NodeError:
    with pytest.raises(NodeError) as caught:
        decode_images(path)
    assert path.name in caught.value.message
    assert caught.value.hint
    return caught.value


def outcome(path: Path) -> str:
    """ "read", or the code of the refusal. Anything but a NodeError comes through."""
    try:
        images, masks = decode_images(path)
    except NodeError as error:
        return error.code
    return "read" if len(images) == len(masks) else "unequal"


def test_a_picture_of_fifty_thousand_squared_is_refused_without_allocating(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(50_000, 50_000, pixels=zlib.compress(b"\0" * 100_000)))
    Image.init()
    tracemalloc.start()
    error = refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.code == "image_too_large"
    assert peak < 4_000_000


def test_a_picture_just_over_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "wide.gif"
    size = struct.pack("<HH", 40_000, 40_000)
    path.write_bytes(b"GIF89a" + size + b"\x00\x00\x00" + b"," + b"\0" * 4 + b"\1\0\1\0\0" + b"\2\2\x44\1\0;")
    assert refused(path).code == "image_too_large"


def test_the_frames_of_an_animation_share_one_limit(tmp_path: Path) -> None:
    path = tmp_path / "long.gif"
    frames = [Image.new("RGB", (64, 64), (index * 6, 90, 255 - index * 6)) for index in range(40)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=20)
    assert decode_images(path)[0].shape == (40, 64, 64, 3)
    with pytest.raises(NodeError, match="first 31 frames") as caught:
        decode_images(path, max_pixels=64 * 64 * 30)
    assert caught.value.code == "image_too_large"
    with pytest.raises(NodeError, match="more than 20 frames"):
        decode_images(path, max_frames=20)


def test_a_photograph_cut_off_in_the_middle_is_refused() -> None:
    error = refused(PICTURES / "cut_off.jpg")
    assert error.code == "bad_image"
    assert "truncated" in error.message
    with pytest.raises(NodeError, match=r"cut_off\.jpg"):
        decode_channel(PICTURES / "cut_off.jpg", "red")


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "clip.gif", "clip.webp", "clip.png", "pages.tiff"])
def test_files_cut_anywhere_are_read_or_refused_but_nothing_else(name: str, tmp_path: Path) -> None:
    data = (PICTURES / name).read_bytes()
    for part in range(1, 24):
        path = tmp_path / name
        path.write_bytes(data[: len(data) * part // 24])
        assert outcome(path) in ("read", "bad_image")


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "clip.gif", "clip.webp", "grey16.png", "palette_clear.png"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_files_with_wrong_bytes_are_read_or_refused_but_nothing_else(name: str, tmp_path: Path) -> None:
    data = bytearray((PICTURES / name).read_bytes())
    for step in range(40):
        damaged = bytearray(data)
        for place in range(step, min(len(data), 4000), 97 + step):
            damaged[place] = (damaged[place] * 31 + 17 * step + 5) % 256
        path = tmp_path / name
        path.write_bytes(damaged)
        assert outcome(path) in ("read", "bad_image", "image_too_large")


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_compressed_text_that_unpacks_to_gigabytes_is_refused(kind: bytes, tmp_path: Path) -> None:
    text = zlib.compress(b"a" * 20_000_000)
    data = b"prompt\0\0" + text if kind == b"zTXt" else b"prompt\0\1\0\0\0" + text
    path = tmp_path / "text.png"
    path.write_bytes(png(1, 1, chunk(kind, data), pixels=zlib.compress(b"\0\0\0\0")))
    assert refused(path).code == "bad_image"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(a) run\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4\n",
        b"\x89PNG\r\n\x1a\n",
        png(0, 5),
        b"II*\0\xff\xff\xff\xff",
    ],
)
def test_what_is_no_picture_of_an_accepted_format_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(content)
    assert refused(path).code == "bad_image"


def test_postscript_under_a_picture_name_never_reaches_an_interpreter(tmp_path: Path) -> None:
    path = tmp_path / "drawing.png"
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "EPS")
    path.write_bytes(buffer.getvalue())
    assert refused(path).code == "bad_image"


def test_a_broken_orientation_tag_does_not_hide_the_error(tmp_path: Path) -> None:
    path = tmp_path / "tagged.jpg"
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 99
    Image.new("RGB", (8, 4)).save(buffer, "JPEG", exif=exif)
    path.write_bytes(buffer.getvalue())
    images, _ = decode_images(path)
    assert images.shape == (1, 4, 8, 3)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    assert refused(tmp_path).code == "bad_image"


@pytest.mark.parametrize("content", [b"", b"not a picture", png(50_000, 50_000), b"<svg/>"])
def test_what_a_camera_is_said_to_have_taken_is_checked_like_every_picture(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "taken.png").write_bytes(content)

    class Files:
        def input_path(self, name: str) -> Path:
            return tmp_path / name

    with pytest.raises(NodeError, match=r"taken\.png") as caught:
        capture_webcam("taken.png", ctx=Files())
    assert caught.value.code in ("bad_image", "image_too_large")
