"""Networks that share a device: who gives way, how much of it, who stays, and what is written down about it."""

from __future__ import annotations

import threading

import psutil
import torch

from engine.memory.device import cpu_device
from engine.memory.ledger import MemoryLedger
from engine.memory.network import NetworkHost, NetworkSource
from engine.memory.residency import MemoryMode
from engine.weights.patches import PatchSet
from tests.chain_network import LAYER_BYTES, PATCHES, WIDTH, AddOne, X, chain, expected
from tests.separate_device import SeparateDevice

DEVICE = SeparateDevice("cpu")
LENGTH = 8
WHOLE = LENGTH * LAYER_BYTES + 4 * WIDTH
ALL_PATCHED = PatchSet(tuple(AddOne(f"layers.{number}.weight", f"add {number}") for number in range(LENGTH)))


def run(host: NetworkHost, source: NetworkSource, **options: PatchSet) -> None:
    found = host.run(source, lambda network: network(X), **options)
    assert torch.equal(found, expected(source, X, *options.values()))


def named(name: str, **options: bool) -> NetworkSource:
    source = chain(LENGTH, identity=name, **options)
    return NetworkSource(name, "network", source.build, source.weights, repeats=source.repeats, file=name)


def test_a_network_gives_up_as_much_as_another_needs_and_no_more() -> None:
    first, second = named("first"), named("second")
    host = NetworkHost(DEVICE, 2 * WHOLE - 3 * LAYER_BYTES)
    run(host, first)
    run(host, second)
    run(host, second)
    kept = host.plan_of(first)
    assert kept is not None
    assert WHOLE - 4 * LAYER_BYTES <= kept.resident_bytes <= WHOLE - 3 * LAYER_BYTES
    read_before = dict(first.weights.reads)  # type: ignore[attr-defined]
    run(host, first)
    again = [n for n, count in first.weights.reads.items() if count > read_before[n]]  # type: ignore[attr-defined]
    assert 3 <= len({name.rpartition(".")[0] for name in again}) <= 4


def test_what_is_dear_to_bring_back_stays_longer() -> None:
    dear, cheap, new = named("dear"), named("cheap"), named("new")
    host = NetworkHost(DEVICE, 2 * WHOLE)
    run(host, dear, patches=ALL_PATCHED)
    run(host, cheap)
    run(host, new)
    assert host.plan_of(cheap) is None
    assert host.plan_of(dear) is not None


def test_what_is_dear_leaves_in_the_end_if_nobody_uses_it() -> None:
    host = NetworkHost(DEVICE, 2 * WHOLE)
    dear, others = named("dear"), [named(str(number)) for number in range(6)]
    run(host, dear, patches=ALL_PATCHED)
    for other in others:
        run(host, other)
    assert host.plan_of(dear) is None


def test_a_pinned_network_stays_and_others_stream_beside_it() -> None:
    pinned, other = named("pinned.safetensors"), named("other")
    host = NetworkHost(DEVICE, WHOLE + 5 * LAYER_BYTES, pinned=["pinned.safetensors"])
    run(host, pinned)
    for _ in range(3):
        run(host, other)
    kept, plan = host.plan_of(pinned), host.plan_of(other)
    assert kept is not None
    assert plan is not None
    assert kept.resident_bytes == WHOLE
    assert plan.moved_bytes > 0
    assert host.resident_bytes <= host.budget_bytes


def test_a_pinned_network_gives_way_only_when_the_rest_was_not_enough() -> None:
    pinned, other, running = named("pinned.safetensors"), named("other"), named("running")
    host = NetworkHost(DEVICE, 1 << 30, pinned=["pinned.safetensors"])
    run(host, pinned)
    run(host, other)
    seen: list[list[bool]] = []

    def forward(network: torch.nn.Module) -> torch.Tensor:
        seen.append([host.plan_of(source) is not None for source in (pinned, other)])
        if len(seen) < 3:
            raise torch.OutOfMemoryError("no memory")
        return network(X)

    assert torch.equal(host.run(running, forward), expected(running, X))
    assert seen == [[True, True], [True, False], [False, False]]


def test_networks_that_take_turns_in_a_loop_settle_instead_of_pushing_each_other_out() -> None:
    control, network = named("control"), named("network")
    host = NetworkHost(DEVICE, WHOLE + 4 * LAYER_BYTES)
    for _ in range(3):
        run(host, control)
        run(host, network)
    position = host.ledger.position
    for _ in range(5):
        run(host, control)
        run(host, network)
    assert host.ledger.since(position) == []


def test_a_network_that_has_the_device_to_itself_again_is_loaded_whole() -> None:
    first, second = named("first"), named("second")
    host = NetworkHost(DEVICE, WHOLE + 4 * LAYER_BYTES)
    for _ in range(3):
        run(host, first)
        run(host, second)
    for _ in range(3):
        run(host, first)
    plan = host.plan_of(first)
    assert plan is not None
    assert plan.moved_bytes == 0


def test_one_at_a_time_is_one_at_a_time() -> None:
    first, second = named("first"), named("second")
    host = NetworkHost(DEVICE, 1 << 30, keeps_one=True)
    run(host, first)
    run(host, second)
    assert host.plan_of(first) is None
    assert host.resident_bytes == WHOLE


def test_the_host_keeps_what_runs_once_a_picture_where_it_is_asked_to() -> None:
    for keeps_all, reads in ((False, 3), (True, 1)):
        source = named("text", repeats=False)
        host = NetworkHost(cpu_device(), 1 << 30, keeps_all=keeps_all)
        for _ in range(3):
            run(host, source)
        assert source.weights.reads["layers.0.weight"] == reads  # type: ignore[attr-defined]


def test_the_ledger_tells_what_came_what_left_and_for_whom() -> None:
    ledger = MemoryLedger()
    host = NetworkHost(DEVICE, WHOLE + 4 * LAYER_BYTES, ledger=ledger)
    first, second = named("first"), named("second")
    run(host, first)
    run(host, first)
    run(host, second)
    host.free(second)
    changes = [(change.kind, change.what, change.why) for change in ledger.since(0)]
    assert changes == [
        ("loaded", "network of first", ""),
        ("shrunk", "network of first", "room for the network of second"),
        ("loaded", "network of second", ""),
        ("evicted", "network of second", "memory was to be freed"),
    ]
    assert [change.num_bytes for change in ledger.since(2)] == [WHOLE, WHOLE]


def test_a_host_says_what_is_where() -> None:
    host = NetworkHost(cpu_device(), 1 << 20, pinned=["kept"])
    run(host, named("kept"))
    stored = chain(LENGTH, torch.float32)
    run(host, NetworkSource("mapped", "vae", stored.build, stored.weights, file="vae.safetensors"))
    found = host.describe()
    assert (found["device"], found["budget_bytes"], found["resident_bytes"]) == ("cpu", 1 << 20, WHOLE)
    kept, mapped = found["networks"]
    assert kept == {
        "what": "network of kept", "resident_bytes": WHOLE, "moved_bytes": 0, "mapped_bytes": 0, "pinned": True,
    }  # fmt: skip
    assert (mapped["what"], mapped["mapped_bytes"], mapped["pinned"]) == ("vae of vae.safetensors", WHOLE, False)


def until_there(host: NetworkHost) -> None:
    """Return when the thread that brings weights early has done what it was asked."""
    host._thread.submit(lambda: None).result(20)


def test_the_next_network_comes_while_another_computes_and_finds_everything_in_place() -> None:
    first, second = named("first"), named("second")
    host = NetworkHost(DEVICE, 2 * WHOLE)
    read: list[dict[str, int]] = []

    def forward(network: torch.nn.Module) -> torch.Tensor:
        host.foresee(second)
        until_there(host)
        read.append(dict(second.weights.reads))  # type: ignore[attr-defined]
        return network(X)

    host.run(first, forward)
    assert set(read[0].values()) == {1}
    assert host.resident_bytes == 2 * WHOLE
    for patches in (PATCHES, PatchSet(())):
        run(host, second, patches=patches)
    run(host, first)
    again = {name for name, count in second.weights.reads.items() if count > 1}  # type: ignore[attr-defined]
    assert again == {"layers.1.weight"}  # taking the patch off
    story = [(change.kind, change.what) for change in host.ledger.since(0)]
    title = "network of second"
    assert story == [("loaded", "network of first"), ("prefetched", title), ("loaded", title)]


def test_what_comes_early_takes_free_room_only_and_leaves_first() -> None:
    running, other, early = named("running"), named("other"), named("early")
    host = NetworkHost(DEVICE, 2 * WHOLE + 5 * LAYER_BYTES)
    run(host, running)
    run(host, other)
    host.foresee(early)
    until_there(host)
    plans = [host.plan_of(source) for source in (running, other)]
    assert [plan.resident_bytes for plan in plans if plan is not None] == [WHOLE, WHOLE]
    assert 0 < host.resident_bytes - 2 * WHOLE <= 5 * LAYER_BYTES
    host.run(other, lambda network: network(X), activation_bytes=5 * LAYER_BYTES)
    assert host.resident_bytes == 2 * WHOLE
    assert [(change.kind, change.what) for change in host.ledger.since(2)] == [("evicted", "network of early")]
    run(host, early)
    assert host.resident_bytes <= host.budget_bytes


def test_a_network_that_is_wanted_while_it_comes_takes_over_what_is_there() -> None:
    source = named("early")
    entered, goes_on = threading.Event(), threading.Event()
    plain_read = source.weights.read

    def read(name: str) -> torch.Tensor:
        if name == "layers.3.weight" and threading.current_thread().name == "next weights":
            entered.set()
            assert goes_on.wait(60)
        return plain_read(name)

    source.weights.read = read  # type: ignore[method-assign]
    host = NetworkHost(DEVICE, 2 * WHOLE)
    host.foresee(source)
    assert entered.wait(60)
    threading.Timer(0.05, goes_on.set).start()
    run(host, source)
    assert set(source.weights.reads.values()) == {1}  # type: ignore[attr-defined]
    assert host.resident_bytes == WHOLE


def test_on_the_host_the_file_of_the_next_network_is_read_ahead_once() -> None:
    asked: list[set[str]] = []
    source = named("next")
    source.weights.prefetch = lambda names: asked.append(set(names))  # type: ignore[method-assign]
    host = NetworkHost(cpu_device(), 1 << 30)
    for _ in range(2):
        host.foresee(source)
    until_there(host)
    assert asked == [set(source.weights.specs)]
    assert [(change.kind, change.why) for change in host.ledger.since(0)] == [("prefetched", "its file is read ahead")]


def test_nothing_comes_early_where_little_is_kept() -> None:
    for options in ({"mode": MemoryMode.STREAM}, {"keeps_one": True}):
        host = NetworkHost(DEVICE, 1 << 30, **options)
        host.foresee(named("next"))
        until_there(host)
        assert host.resident_bytes == 0


def test_ten_networks_used_in_turn_fifty_times_take_no_more_than_in_the_first_round() -> None:
    sources = [named(str(number)) for number in range(10)]
    host = NetworkHost(DEVICE, 3 * WHOLE)
    process, taken = psutil.Process(), []
    for _ in range(50):
        for source in sources:
            host.run(source, lambda network: network(X), patches=PATCHES)
        taken.append((host.resident_bytes, process.memory_info().rss))
    assert max(held for held, _ in taken) <= 1.05 * taken[0][0] <= 1.05 * host.budget_bytes
    assert taken[-1][1] <= 1.05 * taken[0][1]
