"""What needs the code of nodes and packs while no worker is up: it waits for one, and says so when none comes."""

from __future__ import annotations

import asyncio
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from engine.graph.schema import spec_to_json
from engine.protocol.messages import CatalogPublished, PackReport, PackRoute
from engine.server.catalog import CatalogHolder
from tests.processes.fake_worker import specs
from tests.server_harness import FAKE_WORKER, running, settings_in, toy

NO_WORKER = (sys.executable, "-c", "raise SystemExit(3)")


def with_known_catalog(folder: Path):
    """Settings of a server that ran before, with a pack that has a route and looks at submitted jobs."""
    settings = settings_in(folder)
    (settings.folders.data / "catalog").mkdir(parents=True)
    pack = PackReport("talk", str(folder), [], 0.0, routes=[PackRoute("GET", "/talk/{name}")])
    record = CatalogPublished("known", [spec_to_json(spec) for spec in specs()], [pack])
    CatalogHolder(settings.folders).publish(record)
    return settings


async def test_a_graph_whose_validators_are_code_waits_for_a_worker_to_ask(tmp_path):
    gate = tmp_path / "gate"
    late = ("sh", "-c", f"while [ ! -e {shlex.quote(str(gate))} ]; do sleep 0.05; done; exec {shlex.join(FAKE_WORKER)}")
    async with running(with_known_catalog(tmp_path), late) as server:
        call = server.call("POST", "/jobs", json={"prompt": toy("Picky", text="bad")})
        asked = asyncio.create_task(call)
        await asyncio.sleep(0.2)
        assert (asked.done(), server.engine.services.workers.num_ready) == (False, 0)
        gate.touch()
        status, answer = await asked
        assert status == 422
        assert answer["error"]["details"]["complaints"][0]["code"] == "custom_validation_failed"
        await server.submit(toy("Picky", text="good"), wait=60)


async def test_without_a_worker_only_graphs_whose_nodes_are_fully_declared_are_queued(tmp_path):
    async with running(with_known_catalog(tmp_path), NO_WORKER) as server:
        status, answer = await server.call("POST", "/jobs", json={"prompt": toy("Picky", text="good")})
        assert (status, answer["error"]["code"]) == (503, "not_ready")
        assert answer["error"]["details"]["nodes"] == ["1"]
        assert server.engine.counts().remaining == 0
        assert (await server.submit(toy("Show", text="x")))["state"] == "queued"


async def test_a_worker_that_dies_over_a_validator_is_replaced_and_the_next_one_asked(tmp_path):
    async with running(settings_in(tmp_path)) as server:
        marker = tmp_path / "died"
        await server.submit(toy("Picky", text=f"die once: {marker}"), wait=60)
        assert marker.exists()


async def test_a_route_of_a_pack_answers_503_while_no_worker_comes_up(tmp_path):
    async with running(with_known_catalog(tmp_path), NO_WORKER) as server:
        async with server.session.get(server.url + "/talk/x") as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
            assert "talk cannot answer" in (await reply.json())["error"]["message"]
        async with server.session.get(server.url + "/elsewhere") as reply:
            assert reply.status == 404


async def test_an_unknown_path_is_503_until_packs_have_said_what_they_answer(tmp_path):
    packs = tmp_path / "custom_nodes"
    (packs / "talk").mkdir(parents=True)
    settings = settings_in(tmp_path)
    with_packs = replace(settings, folders=replace(settings.folders, custom_nodes=(packs,)))
    for chosen, status in ((settings, 404), (with_packs, 503)):
        async with running(chosen, NO_WORKER) as server:
            async with server.session.get(server.url + "/talk/x") as reply:
                assert reply.status == status
            assert (await server.call("GET", "/nowhere"))[0] == 404
