"""Whatever arrives on the pipe is either a message or a ProtocolError, at once and with bounded memory."""

import asyncio
import io
import json
import random
import struct

import pytest

from engine.core.errors import ProtocolError
from engine.protocol.codec import MAX_FRAME_BYTES, MESSAGE_KINDS, TO_WORKER, FrameReader, decode, encode, read_message
from engine.protocol.messages import JobReport, Lease, Message, OutputsStaged, Ping, Preview, StagedFile


def frame(header, blobs=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    payload = struct.pack(">I", len(text)) + text + blobs
    return struct.pack(">I", len(payload)) + payload


def ping(**changes):
    return {"kind": "Ping", "fields": {"number": 1}, "blobs": [], **changes}


def preview(data=0):
    fields = {
        "job": "j", "epoch": 1, "node": "n", "display": "n", "parent": None, "real": "n",
        "media_type": "image/png", "data": data,
    }  # fmt: skip
    return {"kind": "Preview", "fields": fields, "blobs": [3]}


STAGED = ["a.png", 1, "image/png", "output", "p", "png", 0]

BAD_FRAMES = {
    "empty frame": struct.pack(">I", 0),
    "frame shorter than its header length": struct.pack(">I", 3) + b"abc",
    "frame of four gigabytes": struct.pack(">I", 0xFFFFFFFF),
    "frame one byte over the limit": struct.pack(">I", MAX_FRAME_BYTES + 1),
    "header longer than its frame": struct.pack(">II", 8, 0xFFFFFFFF) + b"{}{}",
    "header that is not JSON": frame(b"\x80\x04\x95pickle"),
    "header that is not UTF-8": frame(b'{"kind":"\xff"}'),
    "header of a thousand open brackets": frame(b"[" * 100_000),
    "header with deep objects": frame(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "header that is a list": frame([1]),
    "header that is null": frame(None),
    "header with an extra member": frame(ping(more=1)),
    "header without blobs": frame({"kind": "Ping", "fields": {"number": 1}}),
    "unknown kind": frame(ping(kind="Explode")),
    "kind that is a class but no message": frame(ping(kind="StagedFile")),
    "kind of the base class": frame(ping(kind="Message")),
    "kind that is no string": frame(ping(kind=["Ping"])),
    "kind with a dotted path": frame(ping(kind="os.system")),
    "fields as list": frame(ping(fields=[1])),
    "missing field": frame(ping(fields={})),
    "unknown field": frame(ping(fields={"number": 1, "evil": 2})),
    "text for a number": frame(ping(fields={"number": "1"})),
    "bool for a number": frame(ping(fields={"number": True})),
    "float for an integer": frame(ping(fields={"number": 1.5})),
    "huge integer": frame(ping(fields={"number": 1 << 64})),
    "integer of ten thousand digits": frame(
        b'{"kind":"Ping","fields":{"number":' + b"9" * 10_000 + b'},"blobs":[]}'
    ),
    "null for text": frame({"kind": "CancelJob", "fields": {"job": None}, "blobs": []}),
    "infinite seconds": frame(b'{"kind":"Shutdown","fields":{"grace_s":Infinity},"blobs":[]}'),
    "overflowing seconds": frame(b'{"kind":"Shutdown","fields":{"grace_s":' + b"9" * 400 + b'},"blobs":[]}'),
    "number in a list of texts": frame(
        {"kind": "CheckPrompt", "fields": {"request": 1, "prompt": {}, "nodes": [1]}, "blobs": []}
    ),
    "list for an object": frame(
        {"kind": "CheckPrompt", "fields": {"request": 1, "prompt": [], "nodes": []}, "blobs": []}
    ),
    "blob sizes too small": frame(preview(), b"abcd"),
    "blob sizes too large": frame(preview(), b"ab"),
    "negative blob size": frame(ping(blobs=[-1])),
    "blob size as text": frame(ping(blobs=["1"])),
    "blob nobody uses": frame(ping(blobs=[3]), b"abc"),
    "blob number out of range": frame(preview(data=1), b"abc"),
    "negative blob number": frame(preview(data=-1), b"abc"),
    "bytes given inline": frame(preview(data="abc"), b"abc"),
    "nested part with a missing field": frame(
        {"kind": "OutputsPlaced", "fields": {"job": "j", "node": "n", "files": [{"filename": "a"}]}, "blobs": []}
    ),
    "nested part that is a number": frame(
        {"kind": "OutputsStaged", "fields": {"job": "j", "epoch": 1, "node": "n", "files": [1]}, "blobs": []}
    ),
}  # fmt: skip


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_a_bad_frame_is_a_protocol_error_for_the_worker(data):
    with pytest.raises(ProtocolError):
        FrameReader(io.BytesIO(data)).read()


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_a_bad_frame_is_a_protocol_error_for_the_server(data):
    async def read():
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        return await read_message(stream)

    with pytest.raises(ProtocolError):
        asyncio.run(read())


def test_a_frame_cut_at_any_byte_is_a_protocol_error():
    whole = encode(Preview("j", 1, "n", "n", None, "n", "image/png", b"abc"))
    for cut in range(1, len(whole)):
        with pytest.raises(ProtocolError):
            FrameReader(io.BytesIO(whole[:cut])).read()


def test_one_blob_cannot_fill_two_fields():
    payload = {
        "kind": "OutputsStaged",
        "fields": {"job": "j", "epoch": 1, "node": "n", "files": []},
        "blobs": [0],
    }
    with pytest.raises(ProtocolError, match="no field uses"):
        decode(frame(payload)[4:])


def test_a_message_of_the_wrong_direction_is_refused():
    with pytest.raises(ProtocolError, match="not accepted"):
        decode(encode(JobReport("j", 1, "k", {}))[4:], TO_WORKER)


def test_a_deep_value_below_an_object_is_refused_or_carried_but_never_a_crash():
    deep = value = {}
    for _ in range(200_000):
        value["a"] = {}
        value = value["a"]
    with pytest.raises(ProtocolError):
        encode(JobReport("j", 1, "k", deep))
    while deep:  # taken apart by hand: freeing it in one go would recurse
        deep = deep.pop("a", None)


def test_five_thousand_mutated_frames_give_a_message_or_a_protocol_error():
    samples = [
        encode(Ping(5)),
        encode(Preview("j", 1, "n", "n", None, "n", "image/png", b"abc")),
        encode(Lease("j", 1, 1, {"1": {"class_type": "A", "inputs": {"x": [1, "2", None]}}}, ["1"])),
        encode(OutputsStaged("j", 1, "n", [StagedFile(*STAGED)])),
    ]
    chance = random.Random(20)
    survivors = 0
    for _ in range(5000):
        data = bytearray(chance.choice(samples))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(4, len(data))
            data[place] = chance.choice([chance.randrange(256), *b'"{}[]:,0-9x'])
        data[:4] = struct.pack(">I", len(data) - 4)
        try:
            message = FrameReader(io.BytesIO(bytes(data))).read()
        except ProtocolError:
            continue
        assert isinstance(message, Message)
        assert type(message).__name__ in MESSAGE_KINDS
        survivors += 1
    assert survivors > 0
