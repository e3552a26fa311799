from __future__ import annotations

import os

import pytest

from engine.compat.comfyui.worker import Installation

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


def test_routes_of_a_pack_are_recorded_and_a_warning_says_they_are_not_served(
    load: LoadPack, installed: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    report = load("server_pack").reports[0]
    assert report.error == ""
    recorded = [(route.method, route.path, route.pack) for route in installed.host.routes]
    assert recorded == [
        ("GET", "/samples/hello", "custom_nodes.server_pack"),
        ("POST", "/samples/change", "custom_nodes.server_pack"),
        ("STATIC", "/samples/files", "custom_nodes.server_pack"),
    ]
    assert len(installed.host.prompt_handlers) == 1
    assert "server_pack declares the HTTP route GET /samples/hello: recorded, not served" in caplog.text
