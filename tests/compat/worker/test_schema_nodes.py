from __future__ import annotations

import asyncio

import torch

from engine.api import Blocker
from engine.graph.schema import object_info
from engine.worker.prompt_check import check_prompt

from .conftest import LoadPack, RecordingContext, run


def test_a_schema_becomes_a_spec_in_the_newer_wire_form(load: LoadPack) -> None:
    spec = load("schema_pack").definitions["SampleMix"].spec
    record = object_info(spec, lambda choices: [])
    assert record["input"]["required"]["mode"] == ["COMBO", {"multiselect": False, "options": ["linear", "max"]}]
    assert record["input"]["required"]["amount"] == [
        "FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01, "display": "slider"},
    ]  # fmt: skip
    assert record["input"]["required"]["loud"][1] == {"default": False, "label_on": "yes", "label_off": "no"}
    assert record["input"]["optional"] == {"second": ["IMAGE", {"tooltip": "the other picture"}]}
    assert record["input"]["hidden"] == {"unique_id": "UNIQUE_ID"}
    assert record["output_name"] == ["mixed", "note"]
    assert (spec.title, spec.search_aliases) == ("Mix (sample)", ("blend pictures",))


def test_a_schema_node_runs_and_reads_its_hidden_values(load: LoadPack) -> None:
    definition = load("schema_pack").definitions["SampleMix"]
    result = run(
        definition,
        first=torch.zeros(1, 2, 2, 3),
        second=torch.ones(1, 2, 2, 3),
        amount=0.25,
        mode="linear",
        loud=False,
        unique_id="9",
    )
    assert float(result.values[0].mean()) == 0.25
    assert result.values[1] == "node 9"


def test_concurrent_calls_of_a_schema_node_do_not_see_each_others_hidden_values(load: LoadPack) -> None:
    definition = load("schema_pack").definitions["SampleMix"]
    picture = torch.zeros(1, 1, 1, 3)
    notes = [
        run(definition, first=picture, amount=0.0, mode="linear", loud=False, unique_id=name).values[1]
        for name in ("1", "2")
    ]
    assert notes == ["node 1", "node 2"]
    assert definition.extra["class"].hidden.unique_id is None


def test_the_hooks_of_a_schema_node_are_found(load: LoadPack) -> None:
    definitions = load("schema_pack").definitions
    mix, note = definitions["SampleMix"], definitions["SampleNote"]
    assert (mix.spec.has_fingerprint, mix.spec.validates, mix.spec.has_lazy_check) == (True, ("mode", "amount"), False)
    assert mix.fingerprint is not None
    assert mix.fingerprint(first=None, amount=1.0, unique_id="1") == 7
    assert note.spec.has_lazy_check
    assert note.lazy is not None
    assert note.lazy(text="", source=None) == ["source"]
    assert note.lazy(text="x", source=None) == []
    prompt = {"1": {"class_type": "SampleMix", "inputs": {"mode": "max", "amount": 0.5}}}
    assert {c["details"] for c in check_prompt(prompt, ["1"], definitions)} == {
        "mode - max takes amount 1",
        "amount - max takes amount 1",
    }


def test_an_async_schema_node_shows_text(load: LoadPack) -> None:
    definition = load("schema_pack").definitions["SampleNote"]
    result = asyncio.run(run(definition, RecordingContext(), text="hello"))
    assert result.ui == {"text": ["hello"]}
    assert definition.spec.depends_on_id


def test_a_preview_is_written_to_the_temp_folder_and_named(load: LoadPack, settings) -> None:
    result = run(load("schema_pack").definitions["SampleShown"], image=torch.full((1, 4, 4, 3), 0.5))
    assert result.values == ("kind",)
    assert result.ui["animated"] == [False]
    entry = result.ui["images"][0]
    assert (entry["type"], entry["subfolder"]) == ("temp", "")
    assert (settings.folders.temp / entry["filename"]).stat().st_size > 0


def test_a_schema_node_may_block_its_outputs(load: LoadPack) -> None:
    result = run(load("schema_pack").definitions["SampleShown"], image=torch.zeros(1, 4, 4, 3))
    assert result.blocked == Blocker("the picture is black")


def test_several_types_and_own_types_keep_their_wire_names(load: LoadPack) -> None:
    spec = load("schema_pack").definitions["SampleShown"].spec
    assert spec.inputs_by_name["any"].type == "IMAGE,MASK"
    assert spec.outputs[0].type == "SAMPLE_KIND"
    assert [item.type for item in spec.inputs if item.presence == "hidden"] == ["PROMPT", "EXTRA_PNGINFO"]
