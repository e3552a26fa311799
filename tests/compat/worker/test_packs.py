from __future__ import annotations

import importlib
import os
from dataclasses import replace

import pytest

from engine.compat.comfyui.worker import Installation, PackDesk

from .conftest import PACKS, LoadPack, run


def test_a_pack_that_imports_what_is_not_emulated_says_which_name_and_stops_no_other(load: LoadPack) -> None:
    loaded = load("broken_pack", "classic_pack")
    broken, classic = loaded.reports
    assert "comfy.ldm" in broken.error
    assert "(wanted by custom_nodes.broken_pack) is not emulated by Atelier yet" in broken.error
    assert broken.node_types == []
    assert "SampleGradient" in classic.node_types


def test_a_prestartup_script_runs_before_its_pack(load: LoadPack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_PRESTARTUP_RAN", "not yet")
    definition = load("prestart_pack").definitions["SamplePrestarted"]
    assert os.environ["SAMPLE_PRESTARTUP_RAN"] == "yes"
    assert run(definition).values == ("yes",)


def test_the_web_directory_of_a_pack_is_reported(load: LoadPack) -> None:
    assert load("classic_pack").reports[0].web_directory == str(PACKS / "classic_pack" / "web")


def test_routes_of_a_pack_are_announced_under_its_name_with_those_that_cannot_be_served(
    load: LoadPack, installed: Installation
) -> None:
    loaded = load("server_pack", "classic_pack")
    report, other = PackDesk(installed.host).announce(loaded.reports)
    assert report.error == ""
    announced = [(route.method, route.path) for route in report.routes]
    assert ("GET", "/samples/hello") in announced
    assert ("*", "/samples/view") in announced
    assert ("PUT", "/samples/put") in announced
    # Neither folder lies in a folder of this installation.
    assert not any("files" in path or "secret" in path for _, path in announced)
    assert [text.split(" is not")[0] for text in report.warnings] == [
        "The route STATIC /samples/files", "The route STATIC /samples/secret",
    ]  # fmt: skip
    assert report.changes_submissions
    assert (other.routes, other.changes_submissions) == ([], False)


def test_a_route_that_is_declared_twice_or_badly_is_warned_of(load: LoadPack, installed: Installation) -> None:
    loaded = load("server_pack")
    routes = importlib.import_module("server").PromptServer.instance.routes

    def handler(request: object) -> None:
        raise AssertionError

    before = len(installed.host.routes)
    routes.get("/samples/hello")(handler)
    routes.get("samples/{")(handler)
    for index in (before, before + 1):
        installed.host.routes[index] = replace(installed.host.routes[index], pack="server_pack")
    (report,) = PackDesk(installed.host).announce(loaded.reports)
    warned = [text.split(" is not served")[0] for text in report.warnings]
    assert "The route GET /samples/hello" in warned
    assert "The route GET samples/{" in warned
