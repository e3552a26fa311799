"""What a graph depends on outside itself."""

import math
import os
from typing import Annotated

import pytest

from engine.api import InputFile, Int, ModelFile, String, node
from engine.graph.fingerprint import addresses, never_equal
from engine.graph.prompt import parse_prompt
from engine.worker.dependencies import Dependencies
from engine.worker.file_digests import FileDigests


@node("LoadPicture")
def load_picture(image: Annotated[str, InputFile("image")]) -> Int:
    return 0


@node("LoadWeights")
def load_weights(name: Annotated[str, ModelFile("checkpoints")]) -> Int:
    return 0


def hooked(answer):
    @node("Hooked", fingerprint=answer)
    def function(value: Int = 0, text: String = "") -> Int:
        return value

    return function


def of(folders, *functions, digests=None, precision=""):
    definitions = {function.__node__.spec.name: function.__node__ for function in functions}
    return Dependencies(folders, definitions, digests or FileDigests(), precision)


def graph_of(kind, **inputs):
    return parse_prompt({"1": {"class_type": kind, "inputs": inputs}})


def test_an_input_file_is_known_by_its_content_not_its_time(folders):
    path = folders.input / "a.png"
    path.write_bytes(b"one")
    dependencies = of(folders, load_picture)
    graph = graph_of("LoadPicture", image="a.png")
    first = dependencies.fingerprints(graph)
    os.utime(path, (1, 1))
    assert dependencies.fingerprints(graph) == first
    path.write_bytes(b"two")
    assert dependencies.fingerprints(graph) != first


def test_a_digest_is_not_read_again_while_size_and_time_stay(folders):
    path = folders.input / "a.png"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    digests = FileDigests()
    assert not digests.is_known(path)
    first = digests.digest(path)
    path.write_bytes(b"two")
    os.utime(path, (1, 1))
    assert digests.is_known(path)
    assert digests.digest(path) == first


def test_a_large_file_is_known_by_head_tail_size_and_time(folders):
    path = folders.input / "big"
    path.write_bytes(b"a" * 100)
    digests = FileDigests(sampled_above_bytes=10)
    with path.open("r+b") as stream:
        stream.truncate(4 << 20)
    os.utime(path, (1, 1))
    first = digests.digest(path)
    assert len(first) == 40
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"x")
    os.utime(path, (2, 2))
    assert digests.digest(path) != first


def test_a_folder_is_known_by_its_listing(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_bytes(b"1")
    digests = FileDigests()
    first = digests.digest(tmp_path / "model")
    (tmp_path / "model" / "b").write_bytes(b"2")
    assert digests.digest(tmp_path / "model") != first


def test_files_of_other_folders_and_models_are_found(folders):
    (folders.output / "made.png").write_bytes(b"x")
    (folders.models["checkpoints"].paths[0] / "m.safetensors").write_bytes(b"y")
    dependencies = of(folders, load_picture, load_weights)
    from_output = dependencies.fingerprints(graph_of("LoadPicture", image="made.png [output]"))
    from_models = dependencies.fingerprints(graph_of("LoadWeights", name="m.safetensors"))
    assert "missing" not in str(from_output) + str(from_models)


@pytest.mark.parametrize("name", ["nowhere.png", "../secret", "/etc/passwd", "a\0b", "x" * 5000])
def test_a_file_that_is_missing_or_out_of_bounds_is_a_fact_not_a_failure(folders, name):
    dependencies = of(folders, load_picture)
    graph = graph_of("LoadPicture", image=name)
    assert dependencies.fingerprints(graph) == {"1": {"image": "missing"}}
    assert dependencies.quick_fingerprints(graph, {}) == {"1": {"image": "missing"}}


def test_unread_files_and_hooks_are_not_quick(folders):
    (folders.input / "a.png").write_bytes(b"one")
    dependencies = of(folders, load_picture, hooked(lambda value: value))
    graph = graph_of("LoadPicture", image="a.png")
    assert dependencies.quick_fingerprints(graph, {}) is None
    known = dependencies.fingerprints(graph)
    assert dependencies.quick_fingerprints(graph, {}) == known
    assert dependencies.quick_fingerprints(graph_of("Hooked", value=1), {}) is None


def test_a_hook_gets_the_constants_it_names_and_none_for_links(folders):
    seen = []

    def hook(value, text="unset"):
        seen.append((value, text))
        return len(seen)

    dependencies = of(folders, hooked(hook))
    prompt = {
        "1": {"class_type": "Hooked", "inputs": {"value": 5}},
        "2": {"class_type": "Hooked", "inputs": {"value": ["1", 0], "text": "t", "unknown": 1}},
    }
    assert dependencies.fingerprints(parse_prompt(prompt)) == {"1": {"": 1}, "2": {"": 2}}
    assert seen == [(5, "unset"), (None, "t")]


def failing(**_):
    raise ValueError("no idea")


async def asynchronous(**_):
    return 1


@pytest.mark.parametrize(
    "hook", [failing, asynchronous, lambda **_: object(), lambda **_: math.nan, lambda **_: {1, 2}]
)
def test_a_hook_without_a_comparable_answer_means_always_run(folders, hook):
    dependencies = of(folders, hooked(hook))
    graph = graph_of("Hooked", value=1)
    fingerprints = dependencies.fingerprints(graph)
    assert never_equal(fingerprints["1"])
    specs = {"Hooked": hooked(hook).__node__.spec}
    assert addresses(graph, specs, fingerprints) != addresses(graph, specs, dependencies.fingerprints(graph))


def test_answers_in_bytes_and_scalars_are_compared(folders):
    import torch

    def answer_of(value):
        return of(folders, hooked(lambda: value)).fingerprints(graph_of("Hooked"))

    assert answer_of(b"a") == answer_of(b"a")
    assert answer_of(b"a") != answer_of(b"b")
    assert answer_of(torch.tensor(3)) == {"1": {"": 3}}


def test_an_answer_given_with_the_prompt_replaces_the_hook(folders):
    dependencies = of(folders, hooked(failing))
    assert dependencies.fingerprints(graph_of("Hooked"), {"1": [7]}) == {"1": {"": [7]}}


def test_weights_held_in_another_dtype_are_another_dependency_and_pictures_are_not(folders):
    picture = folders.input / "a.png"
    picture.write_bytes(b"one")
    weights = folders.models["checkpoints"].paths[0] / "a.safetensors"
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(b"two")
    plain, narrow = (of(folders, load_picture, load_weights, precision=name) for name in ("", "float8_e4m3fn"))
    shown, loaded = graph_of("LoadPicture", image="a.png"), graph_of("LoadWeights", name="a.safetensors")
    assert plain.fingerprints(shown) == narrow.fingerprints(shown)
    assert plain.fingerprints(loaded) != narrow.fingerprints(loaded)
