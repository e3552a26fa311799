"""The artifact cache: budgets, pins, modes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import SettingsError
from engine.core.ids import Address, JobId, NodeId
from engine.execution.artifact_cache import Artifact, ArtifactCache
from engine.execution.disk_index import DiskIndex
from engine.graph.graph import Graph, GraphNode


def cache_of(mode: str = "classic", **options: int) -> ArtifactCache:
    return ArtifactCache(lambda value: value, mode=mode, **options)


def keep(cache: ArtifactCache, address: str, size_bytes: int, cost_s: float = 1.0) -> Artifact:
    """Put an artifact nobody holds any more."""
    artifact = cache.artifact(([size_bytes],), None, cost_s)
    cache.put(Address(address), artifact)
    cache.unpin(Address(address), artifact)
    return artifact


def kept(cache: ArtifactCache) -> list[str]:
    return [address for address, _, _ in cache.entries()]


def test_an_artifact_is_as_large_as_all_its_values() -> None:
    assert cache_of().artifact(([1, 2], [4]), None, 0.0).size_bytes == 7


def test_the_cheapest_per_byte_goes_first() -> None:
    cache = cache_of(max_bytes=100)
    keep(cache, "cheap large", 50, cost_s=1)
    keep(cache, "dear large", 40, cost_s=100)
    keep(cache, "cheap small", 5, cost_s=1)
    keep(cache, "newcomer", 30, cost_s=10)
    assert kept(cache) == ["dear large", "cheap small", "newcomer"]
    assert cache.total_bytes == 75


def test_what_is_not_used_ages() -> None:
    cache = cache_of(max_bytes=10)
    keep(cache, "old and dear", 5, cost_s=50)
    for number in range(20):
        keep(cache, f"new {number}", 5, cost_s=10)
    assert "old and dear" not in kept(cache)


def test_a_use_makes_an_artifact_young_again() -> None:
    cache = cache_of(max_bytes=10)
    used = keep(cache, "used", 5, cost_s=50)
    for number in range(20):
        keep(cache, f"new {number}", 5, cost_s=10)
        cache.pin(Address("used"), used)
        cache.unpin(Address("used"), used)
    assert "used" in kept(cache)


def test_a_pinned_artifact_stays_beyond_the_budget_until_it_is_let_go() -> None:
    cache = cache_of(max_bytes=10)
    artifact = cache.artifact(([50],), None, 1.0)
    cache.put(Address("large"), artifact)
    keep(cache, "small", 5)
    assert kept(cache) == ["large"]
    cache.unpin(Address("large"), artifact)
    assert kept(cache) == []


def test_what_takes_no_bytes_is_not_evicted() -> None:
    cache = cache_of(max_bytes=10)
    keep(cache, "ui only", 0)
    keep(cache, "large", 11)
    assert kept(cache) == ["ui only"]


def test_a_replaced_artifact_leaves_its_pins_behind() -> None:
    cache = cache_of()
    old = cache.artifact(([1],), None, 1.0)
    cache.put(Address("a"), old)
    new = cache.artifact(([2],), None, 1.0)
    cache.put(Address("a"), new)
    cache.unpin(Address("a"), old)
    assert [(artifact, pins) for _, artifact, pins in cache.entries()] == [(new, 1)]


def test_a_cache_that_is_off_keeps_nothing() -> None:
    cache = cache_of("none", max_disk_bytes=100)
    keep(cache, "a", 1)
    cache.disk.add(Address("a"), 1)
    assert (kept(cache), cache.holds(Address("a"))) == ([], False)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(SettingsError, match="sometimes"):
        cache_of("sometimes")


def graph(*nodes: str) -> Graph:
    return Graph({NodeId(node): GraphNode(NodeId(node), "Const") for node in nodes})


def test_classic_keeps_what_running_jobs_mention() -> None:
    cache = cache_of()
    for address in "abc":
        keep(cache, address, 1)
    cache.open_job(JobId("one"), graph("x"), [Address("a")])
    assert kept(cache) == ["a"]
    keep(cache, "b", 1)
    cache.open_job(JobId("two"), graph("y"), [Address("b")])
    assert kept(cache) == ["a", "b"]
    cache.close_job(JobId("one"), is_complete=True)
    cache.open_job(JobId("three"), graph("z"), [Address("z")])
    assert kept(cache) == ["b"]


def test_classic_keeps_generated_values_while_their_origin_is_in_the_graph() -> None:
    cache = cache_of()
    cache.open_job(JobId("one"), graph("x"), [])
    cache.add_generated(JobId("one"), NodeId("x"), "Const", [Address("child")])
    keep(cache, "child", 1)
    cache.close_job(JobId("one"), is_complete=True)
    for job, nodes, expected in (("two", ("x", "y"), ["child"]), ("three", ("y",), [])):
        cache.open_job(JobId(job), graph(*nodes), [])
        cache.close_job(JobId(job), is_complete=True)
        assert kept(cache) == expected


def test_a_failed_job_adds_to_the_generated_values_and_a_complete_one_replaces_them() -> None:
    cache = cache_of()
    for job, child, is_complete in (("one", "a", True), ("two", "b", False), ("three", "c", True)):
        cache.open_job(JobId(job), graph("x"), [])
        cache.add_generated(JobId(job), NodeId("x"), "Const", [Address(child)])
        keep(cache, child, 1)
        cache.close_job(JobId(job), is_complete=is_complete)
        if child == "b":
            assert kept(cache) == ["a", "b"]
    cache.open_job(JobId("four"), graph("x"), [])
    assert kept(cache) == ["c"]


def test_lru_keeps_the_newest_results_and_all_that_running_jobs_mention() -> None:
    cache = cache_of("lru", max_results=2)
    for address in "abcd":
        keep(cache, address, 1)
    cache.open_job(JobId("one"), graph(), [Address("a"), Address("b"), Address("c")])
    assert kept(cache) == ["a", "b", "c"]


def test_storing_is_worth_it_when_reading_is_faster_than_making() -> None:
    cache = cache_of(max_disk_bytes=10**9)
    slow, fast = cache.artifact(([200_000_000],), None, 2.0), cache.artifact(([200_000_000],), None, 0.5)
    assert cache.is_worth_storing(Address("slow"), slow)
    assert not cache.is_worth_storing(Address("fast"), fast)
    cache.disk.add(Address("slow"), 10)
    assert not cache.is_worth_storing(Address("slow"), slow)
    assert not cache_of(max_disk_bytes=10).is_worth_storing(Address("slow"), slow)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "hold", "let go", "get", "clear"]), st.integers(0, 6), st.integers(0, 40)),
    max_size=80,
)


@settings(deadline=None)
@given(OPERATIONS, st.integers(0, 100))
def test_only_pinned_artifacts_exceed_the_budget(operations: list[tuple[str, int, int]], max_bytes: int) -> None:
    cache = cache_of(max_bytes=max_bytes)
    held: list[tuple[Address, Artifact]] = []
    for action, number, size in operations:
        address = Address(str(number))
        if action == "put":
            keep(cache, address, size, cost_s=number)
        elif action == "hold":
            artifact = cache.artifact(([size],), None, 1.0)
            cache.put(address, artifact)
            held.append((address, artifact))
        elif action == "let go" and held:
            cache.unpin(*held.pop(number % len(held)))
        elif action == "get":
            cache.get(address)
        elif action == "clear":
            cache.clear()
        pinned = sum(artifact.size_bytes for _, artifact, pins in cache.entries() if pins)
        assert cache.total_bytes == sum(artifact.size_bytes for _, artifact, _ in cache.entries())
        assert cache.total_bytes <= max(max_bytes, pinned)


def test_the_disk_index_drops_the_least_recently_used() -> None:
    disk = DiskIndex(10, {Address("a"): 4, Address("b"): 4})
    disk.touch(Address("a"))
    disk.add(Address("c"), 4)
    assert disk.take_dropped() == ["b"]
    assert disk.take_dropped() == []
    assert (len(disk), disk.total_bytes) == (2, 8)


def test_a_file_that_came_back_is_not_dropped() -> None:
    disk = DiskIndex(10, {Address("a"): 4})
    disk.clear()
    disk.add(Address("a"), 4)
    assert disk.take_dropped() == []


def test_a_file_larger_than_the_budget_is_dropped_at_once() -> None:
    disk = DiskIndex(10)
    disk.add(Address("a"), 11)
    assert (disk.take_dropped(), len(disk)) == (["a"], 0)


def test_small_files_are_dropped_when_they_are_too_many() -> None:
    disk = DiskIndex(10**9, {Address("a"): 1, Address("b"): 1, Address("c"): 1}, max_entries=2)
    assert disk.take_dropped() == ["a"]
    disk.touch(Address("b"))
    disk.add(Address("d"), 1)
    assert (disk.take_dropped(), len(disk), disk.total_bytes) == (["c"], 2, 2)
    assert len(DiskIndex(10**9, {Address(str(number)): 1 for number in range(5_050)})) == 5_000
