"""The invisible watermark: read as the library reads, readable by it, and alive after JPEG."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.core.errors import NodeError
from engine.imaging.watermark import (
    STABILITY_MESSAGE,
    compare_watermark,
    embed_watermark,
    message_bits,
    read_watermark,
)
from engine.training.evaluation import questions

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data" / "watermark"
LIBRARY = json.loads((DATA / "library_readings.json").read_text())
"""What the decoder of the invisible-watermark library says of pictures; it needs more than tests may install."""
MESSAGE = message_bits(STABILITY_MESSAGE)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def as_text(bits: np.ndarray) -> str:
    return "".join("1" if bit else "0" for bit in bits)


def compressed(pixels: np.ndarray, **options: object) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return np.asarray(Image.open(buffer))


def test_the_message_is_the_one_stability_publishes() -> None:
    assert int(as_text(MESSAGE), 2) == 0b101100111110110010010000011110111011000110011110
    assert (message_bits("0x" + STABILITY_MESSAGE.lower()) == MESSAGE).all()


@pytest.mark.parametrize("message", ["", "B3EC", "B3EC907BB19EFF", "not digits..", "-B3EC907BB19"])
def test_a_message_is_twelve_hexadecimal_digits(message: str) -> None:
    with pytest.raises(NodeError, match="12 hexadecimal digits"):
        message_bits(message)


@pytest.mark.parametrize("name", ["library_embedded.webp", "library_embedded.jpg"])
def test_pictures_the_library_marked_are_read_as_it_reads_them(name: str) -> None:
    assert as_text(read_watermark(picture(DATA / name))) == LIBRARY[name] == as_text(MESSAGE)


def test_noise_of_any_size_is_read_bit_for_bit_as_the_library_reads_it() -> None:
    for case in LIBRARY["noise"]:
        shape = (case["height"], case["width"], 3)
        noise = np.random.default_rng(case["seed"]).integers(0, 256, shape, dtype=np.uint8)
        assert as_text(read_watermark(noise)) == case["bits"]


def test_the_library_reads_the_whole_message_in_a_picture_marked_here() -> None:
    marked = embed_watermark(picture(ROOT / "input" / LIBRARY["marked"]["file"]), MESSAGE)
    assert hashlib.sha256(marked.tobytes()).hexdigest() == LIBRARY["marked"]["sha256"]
    assert LIBRARY["marked"]["bits"] == as_text(MESSAGE)


def test_marks_outlive_png_wholly_and_jpeg_of_quality_80_by_more_than_ninety_percent() -> None:
    for question in questions(4, exclude_styles=(), exclude_kinds=()):
        clean = question.truth(256)
        marked = embed_watermark(clean, MESSAGE)
        assert (read_watermark(marked) == MESSAGE).all()
        assert compare_watermark(clean, MESSAGE).verdict == "none"
        for quality in (80, 90, 95):
            reading = compare_watermark(compressed(marked, quality=quality), MESSAGE)
            assert reading.verdict == "very likely"
            assert reading.num_matched >= 44
        error = np.square(marked.astype(float) - clean).mean()
        assert 10 * np.log10(255**2 / error) > 34


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (0, 0, 255), (255, 255, 0)])
def test_colours_at_the_end_of_their_range_are_marked_the_other_way(color: tuple[int, int, int]) -> None:
    marked = embed_watermark(np.full((256, 263, 3), color, np.uint8), MESSAGE)
    assert (read_watermark(marked) == MESSAGE).all()


def test_a_small_picture_is_refused() -> None:
    with pytest.raises(NodeError, match="255×256 pixels is too small"):
        read_watermark(np.zeros((256, 255, 3), np.uint8))


@pytest.mark.parametrize(
    ("num_wrong", "verdict"),
    [
        (0, "very likely"),
        (12, "very likely"),
        (13, "likely"),
        (14, "likely"),
        (15, "partial"),
        (20, "partial"),
        (21, "none"),
    ],
)
def test_the_verdicts_are_those_of_stabilitys_detector(num_wrong: int, verdict: str) -> None:
    shown = MESSAGE.copy()
    shown[:num_wrong] ^= True
    marked = embed_watermark(np.full((256, 256, 3), 128, np.uint8), shown)
    reading = compare_watermark(marked, MESSAGE)
    assert (reading.num_matched, reading.verdict) == (48 - num_wrong, verdict)
    assert reading.is_found == (verdict in ("likely", "very likely"))
