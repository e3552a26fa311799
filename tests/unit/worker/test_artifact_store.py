"""Values on disk: what survives, what is refused, what is damaged."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.worker.artifact_format import DamagedArtifact, NotStorable, read_artifact, write_artifact
from engine.worker.artifact_store import ArtifactStore
from engine.worker.value_sizes import size_of

A, B = "a" * 40, "b" * 40


def same(left, right):
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
tensors = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8]).flatmap(
    lambda dtype: st.lists(st.integers(0, 3), max_size=3).map(lambda shape: torch.ones(shape, dtype=dtype))
)
values = st.recursive(
    scalars | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(outputs=st.lists(st.lists(values, max_size=2), max_size=3).map(tuple))
def test_whatever_is_stored_comes_back_equal(outputs, tmp_path_factory):
    path = tmp_path_factory.mktemp("artifact") / "x.safetensors"
    ui = {"text": ["hello", 1, {"a": None}]}
    write_artifact(path, outputs, ui, {})
    assert same(read_artifact(path)[0], outputs)
    assert read_artifact(path)[1] == ui


def test_views_and_shared_tensors_are_stored_by_what_they_show(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    outputs = ([whole, whole[1:], whole.t(), whole],)
    write_artifact(tmp_path / "x", outputs, None, {})
    assert same(read_artifact(tmp_path / "x")[0], outputs)


def test_stored_values_are_found_after_a_restart_with_size_and_cost(tmp_path):
    size = ArtifactStore(tmp_path).save(A, ([torch.ones(4)],), {"text": ["x"]}, 1.5)
    (entry,) = ArtifactStore(tmp_path).index()
    assert (entry.address, entry.size_bytes, entry.cost_s) == (A, size, 1.5)
    found = ArtifactStore(tmp_path).load(A)
    assert same(found.outputs, ([torch.ones(4)],))
    assert (found.ui, found.size_bytes) == ({"text": ["x"]}, size)


def test_the_index_lists_the_least_recently_used_first(tmp_path):
    import os

    store = ArtifactStore(tmp_path)
    for address, time_s in ((A, 2000), (B, 1000)):
        store.save(address, ([1],), None, 0.0)
        os.utime(tmp_path / f"{address}.safetensors", (time_s, time_s))
    assert [entry.address for entry in store.index()] == [B, A]
    store.load(B)
    assert [entry.address for entry in store.index()] == [A, B]


def test_a_dropped_value_is_gone_and_dropping_twice_is_no_fault(tmp_path):
    store = ArtifactStore(tmp_path)
    store.save(A, ([1],), None, 0.0)
    store.drop(A)
    store.drop(A)
    assert store.load(A) is None
    assert store.index() == []


class Handle:
    """A model handle, as far as the store is concerned."""


class Label(str):
    """A text with behaviour; reading it back as plain text would change it."""


@pytest.mark.parametrize(
    "value",
    [
        Handle(),
        [{"model": Handle()}],
        Label("x"),
        {1.5: "float key"},
        torch.ones(2, device="meta"),
        torch.ones(2).to_sparse(),
        torch.ones(2, dtype=torch.complex64),
        b"bytes",
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_with_a_part_that_cannot_be_written_is_not_stored(tmp_path, value):
    store = ArtifactStore(tmp_path)
    assert store.save(A, ([value],), None, 0.0) is None
    assert list(tmp_path.iterdir()) == []


def test_a_value_nested_without_end_is_not_stored(tmp_path):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotStorable):
        write_artifact(tmp_path / "x", ([deep],), None, {})
    while deep:
        deep = deep.pop()


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 100, -1])
def test_a_truncated_file_is_ignored_and_deleted(tmp_path, cut):
    store = ArtifactStore(tmp_path)
    store.save(A, ([torch.arange(64.0)],), None, 0.0)
    path = tmp_path / f"{A}.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    assert store.load(A) is None
    assert not path.exists()


def test_a_flipped_bit_is_noticed(tmp_path):
    store = ArtifactStore(tmp_path)
    store.save(A, ([torch.arange(64.0)],), None, 0.0)
    path = tmp_path / f"{A}.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert store.load(A) is None
    assert not path.exists()


def test_the_index_deletes_damaged_and_unfinished_files_and_leaves_foreign_ones(tmp_path):
    store = ArtifactStore(tmp_path)
    store.save(A, ([1],), None, 0.0)
    (tmp_path / f"{B}.safetensors").write_bytes(b"junk")
    (tmp_path / "cafe.part").write_bytes(b"unfinished")
    (tmp_path / "readme.txt").write_text("mine")
    assert [entry.address for entry in store.index()] == [A]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{A}.safetensors", "readme.txt"]


def test_a_foreign_safetensors_file_is_damaged_not_trusted(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, tmp_path / "x")
    with pytest.raises(DamagedArtifact):
        read_artifact(tmp_path / "x")


@pytest.mark.parametrize(
    "body", ['{"outputs":["t","9"],"ui":null,"facts":{},"sums":{}}', '{"outputs":["q",1]}', "[]", "{}", "{"]
)
def test_a_header_that_lies_is_damaged(tmp_path, body):
    from safetensors.torch import save_file

    save_file({}, tmp_path / "x", {"format": "atelier-artifact-1", "body": body})
    with pytest.raises(DamagedArtifact):
        read_artifact(tmp_path / "x")


def test_sizes_count_what_is_shown_and_shared_memory_once():
    whole = torch.zeros(1000)
    assert 4000 <= size_of(whole) < 4200
    assert size_of([whole, whole]) < 4400
    assert 4000 <= size_of([whole[:500], whole[500:]]) < 4400
    assert size_of(torch.zeros(1).expand(1000)) < 200
    assert size_of("x" * 1000) >= 1000
    assert size_of(Handle()) < 200


def test_sizes_of_deep_and_circular_values_are_found():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert size_of(deep) > 100_000
    while deep:
        deep = deep.pop()
    circle = []
    circle.append(circle)
    assert size_of(circle) < 1000
