from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace

import pytest

from engine.api import NodeError
from engine.compat.comfyui.worker import Installation, PackDesk

from .conftest import PACKS, LoadPack, run


def test_a_pack_that_cannot_be_imported_is_reported_and_stops_no_other(load: LoadPack) -> None:
    broken, classic = load("broken_pack", "classic_pack").reports
    assert "No module named 'a_library_nobody_has_installed'" in broken.error
    assert broken.node_types == []
    assert "SampleGradient" in classic.node_types


def test_a_pack_that_imports_what_is_not_emulated_loads_and_its_other_nodes_run(load: LoadPack) -> None:
    loaded = load("lacking_pack")
    assert loaded.reports[0].error == ""
    assert loaded.reports[0].node_types == ["SampleNeeds", "SampleNeedsNothing"]
    # Whoever expects a name to be missing takes the way round it.
    assert run(loaded.definitions["SampleNeedsNothing"]).values == ("None None False False",)


@pytest.mark.parametrize(
    ("which", "name"),
    [
        ("attention", "comfy.ldm.modules.attention.optimized_attention"),
        ("member", "comfy.sd.load_lora_for_models"),
        ("sampler", "nodes.common_ksampler"),
        ("subclass", "comfy.samplers.CFGGuider"),
    ],
)
def test_a_node_that_uses_what_is_not_emulated_fails_with_its_name(load: LoadPack, which: str, name: str) -> None:
    definition = load("lacking_pack").definitions["SampleNeeds"]
    with pytest.raises(NodeError, match=rf"^{name} \(wanted by lacking_pack\) is not emulated") as raised:
        run(definition, which=which)
    assert raised.value.code == "not_emulated"


def test_the_report_of_a_pack_names_what_it_lacks(load: LoadPack, installed: Installation) -> None:
    loaded = load("lacking_pack", "classic_pack")
    report, other = PackDesk(installed.host).announce(loaded.reports)
    (foreign, lacking) = report.warnings
    assert "SampleForeign" in foreign
    for name in ("comfy.sd", "comfy.samplers.CFGGuider", "nodes.common_ksampler", "comfy.utils.unet_to_diffusers"):
        assert name in lacking
    assert "rms_norm" not in lacking
    assert not any("emulated" in text for text in other.warnings)


def test_placeholders_are_gone_with_the_installation(load: LoadPack, installed: Installation) -> None:
    load("lacking_pack")
    assert "comfy.ldm.modules.attention" in sys.modules
    installed.remove()
    assert not any(name.startswith("comfy.ldm") for name in sys.modules)


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
