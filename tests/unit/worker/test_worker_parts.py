"""Small parts of the worker: progress, pictures, error texts, the live graph, models made on demand."""

import io
from dataclasses import replace

import pytest
import torch
from PIL import Image

from engine.core.errors import NodeError, NotFoundError
from engine.core.settings import MemorySettings, Settings
from engine.worker.failures import describe_value, node_failure
from engine.worker.hooks import hook_arguments
from engine.worker.live_graph import LiveGraph
from engine.worker.model_room import ModelRoom
from engine.worker.pictures import encode_jpeg, encode_png
from engine.worker.progress import Gate, ProgressMeter
from engine.worker.ram_budget import shared_out


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def test_a_meter_sends_the_first_report_and_one_per_interval():
    clock, sent = Clock(), []
    meter = ProgressMeter(lambda value, maximum: sent.append(value), 0.1, clock)
    for step in range(100):
        clock.now_s = step * 0.01
        meter.report(step, 100)
    meter.flush()
    assert len(sent) == 11
    assert (sent[0], sent[-1]) == (0, 99)
    assert sent == sorted(sent)


def test_a_flush_sends_nothing_twice():
    sent = []
    meter = ProgressMeter(lambda value, maximum: sent.append(value), 0.1, Clock())
    meter.report(1, 2)
    meter.flush()
    meter.report(2, 2)
    meter.flush()
    meter.flush()
    assert sent == [1, 2]


def test_a_gate_opens_once_per_interval():
    clock = Clock()
    gate = Gate(0.25, clock)
    opened = []
    for step in range(100):
        clock.now_s = step * 0.01
        opened.append(gate.opens())
    assert opened.count(True) == 4
    assert opened[0]


@pytest.mark.parametrize(
    ("shape", "size"), [((100, 50, 3), (64, 128)), ((10, 40, 4), (128, 32)), ((1, 1, 1), (128, 128))]
)
def test_a_preview_fits_the_square_whatever_its_size(shape, size):
    picture = Image.open(io.BytesIO(encode_jpeg(torch.rand(shape), 128)))
    assert (picture.format, picture.size) == ("JPEG", size)


def test_a_png_holds_the_exact_pixels():
    pixels = torch.tensor([[[0.0, 0.5, 1.0], [2.0, -1.0, float("nan")]]])
    picture = Image.open(io.BytesIO(encode_png(pixels)))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(0, 128, 255), (255, 0, 0)]


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 2, 2), (2, 4, 4, 3), (0, 4, 3)])
def test_a_tensor_that_is_no_picture_is_refused(shape):
    with pytest.raises(NodeError, match="A picture must have the shape"):
        encode_png(torch.zeros(shape))


class Unprintable:
    def __str__(self):
        raise RuntimeError("no text")


def test_values_in_error_reports_are_short_texts():
    assert describe_value(5) == 5
    assert describe_value(None) is None
    assert describe_value("x" * 5000).endswith("(5000 characters)")
    assert describe_value(torch.zeros(1, 4, 8, 8)) == "Tensor [1, 4, 8, 8] float32 on cpu"
    assert describe_value({"samples": torch.zeros(2)}) == "{'samples': Tensor [2] float32 on cpu}"
    assert describe_value([1, "a"]) == "[1, a]"
    assert describe_value(Unprintable()) == "<Unprintable>"


def test_a_foreign_exception_is_named_with_its_module():
    try:
        torch.zeros(2) @ torch.zeros(3)
    except RuntimeError as error:
        failure = node_failure(error, node="1", node_type="N", title="", calls=[{"a": 1}, {"a": 2}])
    assert failure.details["exception_type"] == "RuntimeError"
    assert failure.details["current_inputs"] == {"a": [1, 2]}
    import json

    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    failure = node_failure(caught.value, node="1", node_type="N", title="", calls=[])
    assert failure.details["exception_type"] == "json.decoder.JSONDecodeError"


def test_an_error_that_cannot_be_shown_or_sent_is_reported_all_the_same():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    failure = node_failure(Mute(), node="1", node_type="N", title="", calls=[])
    assert failure.details["exception_message"] == "<Mute>"
    details = {"tensor": torch.zeros(1), "number": 5}
    failure = node_failure(NodeError("No.", code="odd", details=details), node="1", node_type="N", title="", calls=[])
    assert (failure.code, failure.details["number"], failure.details["tensor"]) == ("odd", 5, "tensor([0.])")


def test_a_hook_is_called_with_what_it_names():
    values = {"a": 1, "b": 2}
    assert hook_arguments(lambda a: None, values) == {"a": 1}
    assert hook_arguments(lambda **rest: None, values) == values
    assert hook_arguments(lambda a, c=3: None, values) == {"a": 1}


def test_the_live_graph_follows_expansions():
    graph = LiveGraph({"1": {"class_type": "A", "inputs": {}}})
    graph.add("1", {"1.a": {"class_type": "B", "inputs": {}}, "1.b": {"class_type": "B", "override_display_id": "1.a"}})
    graph.add("1.b", {"1.b.c": {"class_type": "C"}})
    assert graph.get_node("1.a")["class_type"] == "B"
    assert (graph.has_node("1.b.c"), graph.has_node("2")) == (True, False)
    assert (graph.get_real_node_id("1.b.c"), graph.get_parent_node_id("1.b.c")) == ("1", "1.b")
    assert graph.get_display_node_id("1.b.c") == "1"
    assert graph.all_node_ids() == {"1", "1.a", "1.b", "1.b.c"}
    with pytest.raises(NotFoundError):
        graph.get_node("2")


class Library:
    def __init__(self):
        self.num_freed = 0

    def free(self):
        self.num_freed += 1

    def memory_position(self):
        return 7

    def memory_story(self, position):
        return {"since": position}

    def take_held(self):
        return 9


def test_the_model_library_is_made_once_and_only_when_needed():
    made = []

    def make():
        made.append(Library())
        return made[-1]

    room = ModelRoom(make)
    room.free()
    assert (room.memory_position(), room.memory_story(0), room.take_held()) == (0, {}, 0)
    assert made == []
    assert room.library() is room.library()
    room.free()
    assert [library.num_freed for library in made] == [1]
    assert (room.memory_position(), room.memory_story(5), room.take_held()) == (7, {"since": 5}, 9)


def test_the_ram_limit_holds_the_process_the_cache_and_the_networks(folders):
    plain = Settings(folders=folders)
    assert shared_out(plain, 100) is plain
    limited = shared_out(replace(plain, memory=MemorySettings(max_ram_bytes=4000)), 700)
    assert (limited.cache.max_ram_bytes, limited.memory.max_ram_bytes) == (1000, 2300)
    roomy = shared_out(replace(plain, memory=MemorySettings(max_ram_bytes=100 << 30)), 1 << 30)
    assert roomy.cache.max_ram_bytes == plain.cache.max_ram_bytes
    none = shared_out(replace(plain, memory=MemorySettings(max_ram_bytes=100)), 1 << 30)
    assert none.memory.max_ram_bytes == 0
