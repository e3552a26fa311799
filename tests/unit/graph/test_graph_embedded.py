"""Graphs in the metadata of files: real ones written by Pillow, and hand-made containers for the rest."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine.core.errors import GraphError
from engine.graph.embedded import read_graph_file, read_texts
from engine.graph.image_metadata import MAX_TEXT_BYTES
from engine.graph.workflow import Workflow

PROMPT = {"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "text": "ä€"}}}
WORKFLOW = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4, "extra": {"note": "ä€"}}
TEXTS = {"prompt": json.dumps(PROMPT), "workflow": json.dumps(WORKFLOW)}


def png(info: PngInfo | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG", pnginfo=info, **options)
    return stream.getvalue()


def webp(exif: Image.Exif | None, kind: str = "WEBP") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, kind, **({"exif": exif} if exif else {}))
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I", len(body) + 8) + kind + body


def comments(texts: dict[str, str]) -> bytes:
    entries = [f"{key}={value}".encode() for key, value in texts.items()]
    body = struct.pack("<I", 3) + b"abc" + struct.pack("<I", len(entries))
    return body + b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)


def ebml(element: int, body: bytes, size_bytes: int = 8) -> bytes:
    head = element.to_bytes((element.bit_length() + 7) // 8, "big")
    return head + ((1 << (7 * size_bytes)) | len(body)).to_bytes(size_bytes, "big") + body


def make_png() -> bytes:
    info = PngInfo()
    for key, text in TEXTS.items():
        info.add_text(key, text)
    return png(info)


def make_png_compressed() -> bytes:
    info = PngInfo()
    info.add_text("prompt", TEXTS["prompt"], zip=True)
    info.add_itxt("workflow", TEXTS["workflow"], zip=True)
    return png(info)


def make_png_unicode() -> bytes:
    info = PngInfo()
    info.add_itxt("prompt", json.dumps(PROMPT, ensure_ascii=False))
    info.add_itxt("workflow", json.dumps(WORKFLOW, ensure_ascii=False), lang="en", tkey="w")
    return png(info)


def make_apng() -> bytes:
    plain = png(save_all=True, append_images=[Image.new("RGB", (4, 4), "red")])
    extra = b"".join(chunk(b"comf", key.encode() + b"\0" + text.encode("latin-1")) for key, text in TEXTS.items())
    return plain[:-12] + extra + plain[-12:]


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + TEXTS["prompt"]
    exif[0x010F] = "workflow:" + TEXTS["workflow"]
    return exif


def make_flac() -> bytes:
    info = b"\0" + (34).to_bytes(3, "big") + bytes(34)
    body = comments(TEXTS)
    return b"fLaC" + info + b"\x84" + len(body).to_bytes(3, "big") + body


def make_ogg() -> bytes:
    def page(packets: list[bytes]) -> bytes:
        sizes = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
        return b"OggS" + bytes(22) + bytes([len(sizes)]) + sizes + b"".join(packets)

    return page([b"OpusHead" + bytes(11)]) + page([b"OpusTags" + comments(TEXTS)])


def make_mp3() -> bytes:
    frames = b""
    for key, text in TEXTS.items():
        body = b"\x03" + key.encode() + b"\0" + text.encode()
        frames += b"TXXX" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = len(frames)
    syncsafe = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    return b"ID3\x03\0\0" + syncsafe + frames + b"\xff\xfb" + bytes(100)


def make_mp4() -> bytes:
    keys = b"".join(struct.pack(">I", len(key) + 8) + b"mdta" + key.encode() for key in TEXTS)
    items = b"".join(
        box(struct.pack(">I", index), box(b"data", struct.pack(">II", 1, 0), text.encode()))
        for index, text in enumerate(TEXTS.values(), 1)
    )
    meta = box(
        b"meta",
        bytes(4),
        box(b"hdlr", bytes(24)),
        box(b"keys", bytes(4), struct.pack(">I", 2), keys),
        box(b"ilst", items),
    )
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"mdat", bytes(1000)) + box(b"moov", box(b"mvhd", bytes(100)), meta)


def make_webm() -> bytes:
    tags = b"".join(
        ebml(0x67C8, ebml(0x45A3, key.upper().encode(), 1) + ebml(0x4487, text.encode(), 2))
        for key, text in TEXTS.items()
    )
    segment = ebml(0x1549A966, bytes(10)) + ebml(0x1254C367, ebml(0x7373, ebml(0x63C0, b"") + tags))
    return ebml(0x1A45DFA3, bytes(5)) + ebml(0x18538067, segment)


def make_glb() -> bytes:
    scene = json.dumps({"asset": {"version": "2.0", "extras": TEXTS}}).encode()
    return b"glTF" + struct.pack("<II", 2, 20 + len(scene)) + struct.pack("<I", len(scene)) + b"JSON" + scene


def make_safetensors() -> bytes:
    header = json.dumps({"__metadata__": TEXTS, "x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


FILES = {
    "png": make_png,
    "png compressed": make_png_compressed,
    "png unicode": make_png_unicode,
    "png animated": make_apng,
    "webp": lambda: webp(_exif()),
    "jpeg": lambda: webp(_exif(), "JPEG"),
    "flac": make_flac,
    "ogg": make_ogg,
    "mp3": make_mp3,
    "mp4": make_mp4,
    "webm": make_webm,
    "glb": make_glb,
    "safetensors": make_safetensors,
}


@pytest.mark.parametrize("kind", FILES)
def test_workflow_and_prompt_are_read_out_of_a_file(kind: str) -> None:
    found = read_graph_file(FILES[kind]())
    assert (found.kind, found.container) == ("workflow", kind.split()[0])
    assert found.workflow == Workflow.load(WORKFLOW)
    assert found.prompt == PROMPT


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_short_or_damaged_anywhere_gives_nothing_or_a_typed_error(kind: str) -> None:
    data = FILES[kind]()
    step = max(1, len(data) // 60)
    for at in range(0, len(data), step):
        for broken in (data[:at], data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]):
            try:
                assert read_graph_file(broken).kind in ("workflow", "prompt")
            except GraphError:
                continue


def test_json_files_are_told_apart() -> None:
    assert read_graph_file(json.dumps(PROMPT).encode()).kind == "prompt"
    assert read_graph_file(json.dumps(WORKFLOW)).kind == "workflow"
    assert read_graph_file(WORKFLOW).workflow == Workflow.load(WORKFLOW)


def test_a_saved_request_is_unwrapped() -> None:
    found = read_graph_file({"prompt": PROMPT, "client_id": "x"})
    assert (found.kind, found.prompt) == ("prompt", PROMPT)


@pytest.mark.parametrize(
    "data", [b"{}", b"[]", b"3", png(), webp(None), b"ID3", b"fLaC", b"OggS", b"glTF", b"\xff\xd8\xff"]
)
def test_a_file_without_graph_says_so(data: bytes) -> None:
    with pytest.raises(GraphError) as caught:
        read_graph_file(data)
    assert caught.value.code == "no_graph_in_file"


def test_a_damaged_workflow_text_gives_way_to_a_sound_prompt() -> None:
    info = PngInfo()
    info.add_text("workflow", "{")
    info.add_text("prompt", TEXTS["prompt"])
    assert read_graph_file(png(info)).kind == "prompt"


def test_a_damaged_text_alone_is_an_error() -> None:
    info = PngInfo()
    info.add_text("workflow", "{")
    with pytest.raises(GraphError) as caught:
        read_graph_file(png(info))
    assert caught.value.code == "bad_json"


def test_a_compressed_bomb_is_refused_before_it_unfolds() -> None:
    packed = zlib.compress(bytes(MAX_TEXT_BYTES + 1000), 9)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", b"workflow\0\0" + packed)
    assert len(bomb) < 100_000
    with pytest.raises(GraphError) as caught:
        read_graph_file(bomb)
    assert caught.value.code == "metadata_too_large"


def test_the_first_of_two_texts_with_one_key_counts() -> None:
    info = PngInfo()
    info.add_text("prompt", TEXTS["prompt"])
    info.add_text("prompt", "{}")
    assert read_texts(png(info)) == ("png", {"prompt": TEXTS["prompt"]})
