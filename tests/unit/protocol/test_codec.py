import asyncio
import io
import threading
from dataclasses import fields

import pytest

from engine.core.errors import ProtocolError
from engine.protocol import messages
from engine.protocol.codec import MESSAGE_KINDS, TO_SERVER, TO_WORKER, FrameReader, FrameWriter, decode, encode
from engine.protocol.codec import read_message as read_async
from engine.protocol.messages import (
    CallPack,
    CatalogPublished,
    CheckPrompt,
    CheckReply,
    FreeMemory,
    JobDone,
    JobReport,
    JobReports,
    Lease,
    OutputsPlaced,
    OutputsStaged,
    PackEvent,
    PackReply,
    PackReport,
    PackRoute,
    Ping,
    PlacedFile,
    Pong,
    Preview,
    RefreshCatalog,
    ReportEntry,
    Shutdown,
    StagedFile,
    Start,
    WorkerReady,
)

SAMPLES = [
    Start("w", {"port": 1}, "digest", "cpu"),
    Lease("j", 3, 1, {"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}}, ["1"], {"a": None}, None, True, "auto"),
    messages.CancelJob("j"),
    CheckPrompt(7, {"1": {}}, ["1"]),
    CallPack(8, "request", {"method": "POST", "headers": [["a", "b"]]}, b"\x00body", 2.5),
    OutputsPlaced("j", "1", [PlacedFile("a_00001_.png", "sub", "output", "id")]),
    messages.ForecastPrompt(10, {"1": {}}, ["1"]),
    FreeMemory(True, False),
    RefreshCatalog(),
    Ping(9),
    Shutdown(2.5),
    CatalogPublished("d", [{"name": "A"}], [PackReport("p", "/p", ["A"], 0.5, "", "", ["taken"])]),
    CatalogPublished(
        "d", [], [PackReport("p", "/p", [], 0.5, routes=[PackRoute("GET", "/a/{b}")], changes_submissions=True)]
    ),
    WorkerReady({"name": "cpu", "vram_total": 1}, {"torch": "2"}),
    JobReport("j", 3, "node_progress", {"value": 1.5}),
    JobReports("j", 3, [ReportEntry("node_started", {"node": "1"}), ReportEntry("node_finished", {"node": "1"})]),
    Preview("j", 3, "n", "d", None, "r", "image/jpeg", bytes(range(256))),
    OutputsStaged("j", 3, "n", [StagedFile("x.png", 4, "image/png", "output", "p", "png", 0, extra={"k": [1]})]),
    JobDone("j", 3, "failed", {"code": "x"}, ["1"], ["2"], {"1": {}}, {"s": 1.0}, {"1": {"text": ["é\ud800"]}}),
    CheckReply(7, [{"node": "1"}]),
    messages.ForecastReply(10, ["1"], [{"node": "2", "reason": {"reason": "first_run"}, "seconds": None}]),
    PackReply(8, {"status": 200, "headers": []}, b""),
    Pong(9, 1, 2, 3, ["j"]),
    PackEvent("my-event", {"data": [1]}, None, "c"),
]


def by_kind(message):
    return type(message).__name__


@pytest.mark.parametrize("message", SAMPLES, ids=by_kind)
def test_a_message_survives_the_trip_through_a_frame(message):
    assert decode(encode(message)[4:]) == message


def test_every_kind_of_message_has_a_sample_here():
    assert {by_kind(message) for message in SAMPLES} == set(MESSAGE_KINDS)


def test_each_kind_travels_in_exactly_one_direction():
    assert set(MESSAGE_KINDS) == TO_WORKER | TO_SERVER
    assert not TO_WORKER & TO_SERVER


def test_message_fields_are_slotted_and_frozen():
    for kind in MESSAGE_KINDS.values():
        assert set(kind.__slots__) == {item.name for item in fields(kind)}


def test_a_reader_gives_back_the_messages_in_order_and_then_none():
    stream = io.BytesIO(b"".join(map(encode, SAMPLES)))
    reader = FrameReader(stream)
    assert [reader.read() for _ in SAMPLES] == SAMPLES
    assert reader.read() is None


def test_an_asyncio_reader_gives_the_same_messages():
    async def read_all():
        stream = asyncio.StreamReader()
        stream.feed_data(b"".join(map(encode, SAMPLES)))
        stream.feed_eof()
        return [await read_async(stream) for _ in range(len(SAMPLES) + 1)]

    assert asyncio.run(read_all()) == [*SAMPLES, None]


def test_frames_of_many_threads_do_not_interleave():
    stream = io.BytesIO()
    writer = FrameWriter(stream)

    def write(number):
        for step in range(50):
            writer.write(JobReport("j", step, str(number) * 500, {}))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.seek(0)
    reader = FrameReader(stream)
    lines = [reader.read() for _ in range(200)]
    assert {line.kind for line in lines} == {str(number) * 500 for number in range(4)}
    assert reader.read() is None


def test_a_blob_travels_as_raw_bytes():
    data = bytes(range(256)) * 100
    frame = encode(Preview("j", 1, "n", "n", None, "n", "image/png", data))
    assert frame.endswith(data)


def test_a_whole_number_fits_a_float_field_and_comes_back_as_float():
    assert repr(decode(encode(Shutdown(2))[4:])) == "Shutdown(grace_s=2.0)"


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (Ping("1"), "Ping.number must be a 64-bit integer"),
        (Ping(True), "Ping.number must be a 64-bit integer"),
        (Ping(1 << 63), "Ping.number must be a 64-bit integer"),
        (Shutdown(float("nan")), "finite"),
        (Shutdown(10**400), "finite"),
        (messages.CancelJob(None), "CancelJob.job must be str"),
        (Preview("j", 1, "n", "n", None, "n", "image/png", "text"), "Preview.data must be bytes"),
        (JobReport("j", 1, "k", {"value": object()}), "JSON cannot carry"),
        (JobReport("j", 1, "k", {"value": 10**5000}), "JSON cannot carry"),
        (OutputsPlaced("j", "n", [{"filename": "x"}]), "PlacedFile belongs"),
        (PlacedFile("a", "", "output"), "PlacedFile is not a message"),
    ],
)
def test_a_message_with_a_wrong_value_is_refused_before_it_travels(message, complaint):
    with pytest.raises(ProtocolError, match=complaint):
        encode(message)
