"""Every node here declares what the reference list says: names, sockets, options, order, flags and wire form."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import nodes
from engine.api import NodeDefinition
from engine.graph.schema import FileChoices, InputSpec, NodeSpec, object_info, spec_from_json, spec_to_json

REFERENCE_FILE = Path(__file__).parents[2] / "data" / "reference" / "nodes.jsonl"
REFERENCE = {record["name"]: record for record in map(json.loads, REFERENCE_FILE.read_text().splitlines())}
NEWER = {"ComfySwitchNode", "ManualSigmas"}
"""Nodes of later versions of the reference, not in its list."""
OWN = {
    "ColorCells", "HoleForControl", "SafetyCheck", "SafetyCheckerLoader", "SamplerDDIM", "SamplerPLMS", "SaveImageAs",
    "ScribbleLines", "ShuffledContent", "SoftTile", "Watermark", "WatermarkDetect",
}  # fmt: skip
"""Nodes the reference has not: samplers, watermark and safety checker of the first scripts, saving in other formats,
pictures for control networks."""
LISTED_FOLDERS = {("LoadImageSetFromFolderNode", "folder"), ("LoadImageTextSetFromFolderNode", "folder")}
"""Choices that were folders of the machine the reference list was made on."""
OTHER_CATEGORIES = {
    "conditioning/inpaint": {"CosmosImageToVideoLatent", "CosmosPredict2ImageToVideoLatent", "Wan22ImageToVideoLatent"},
    "conditioning/controlnet": {"ControlNetInpaintingAliMamaApply"},
    "advanced/model_merging": {"ImageOnlyCheckpointSave"},
    "image/upscaling": {"ImageUpscaleWithModel"},
    "latent/stable_cascade": {"StableCascade_StageC_VAEEncode"},
    "_for_testing/custom_sampling/noise": set(),
    "sampling/custom_sampling/samplers": set(),
    "sampling/custom_sampling/schedulers": {"GITSScheduler", "LTXVScheduler", "OptimalStepsScheduler"},
}
"""Per covered category, the nodes that are not here: they need other networks, or a table that is not published."""
COVERED_CATEGORIES = [
    "_for_testing/custom_sampling/noise",
    "advanced/hooks",
    "advanced/hooks/clip",
    "advanced/hooks/combine",
    "advanced/hooks/cond pair",
    "advanced/hooks/cond single",
    "advanced/hooks/create",
    "advanced/hooks/scheduling",
    "advanced/loaders/deprecated",
    "advanced/model_merging",
    "api/image",
    "conditioning/style_model",
    "conditioning/controlnet",
    "conditioning/gligen",
    "conditioning/inpaint",
    "conditioning/instructpix2pix",
    "image",
    "image/animation",
    "image/batch",
    "image/postprocessing",
    "image/preprocessors",
    "image/save",
    "image/transform",
    "image/upscaling",
    "latent",
    "latent/advanced",
    "latent/advanced/operations",
    "latent/batch",
    "latent/chroma_radiance",
    "latent/inpaint",
    "latent/sd3",
    "latent/stable_cascade",
    "latent/transform",
    "latent/video",
    "latent/video/ltxv",
    "mask",
    "mask/compositing",
    "sampling",
    "sampling/custom_sampling",
    "sampling/custom_sampling/guiders",
    "sampling/custom_sampling/noise",
    "sampling/custom_sampling/samplers",
    "sampling/custom_sampling/schedulers",
    "sampling/custom_sampling/sigmas",
    "utils",
    "utils/primitive",
    "utils/string",
]


def definitions() -> dict[str, NodeDefinition]:
    found: dict[str, NodeDefinition] = {}
    for module in pkgutil.iter_modules(nodes.__path__, "nodes."):
        for value in vars(importlib.import_module(module.name)).values():
            definition = getattr(value, "__node__", None)
            if isinstance(definition, NodeDefinition):
                found[definition.spec.name] = definition
    return found


DEFINITIONS = definitions()
SPECS = {name: definition.spec for name, definition in DEFINITIONS.items()}
KNOWN = sorted(set(SPECS) & set(REFERENCE))


def inputs_of(spec: NodeSpec, presence: str) -> list[InputSpec]:
    return [item for item in spec.inputs if item.presence == presence]


def wanted_options(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("type", "options", "files", "also")}


def wanted_files(text: str) -> FileChoices:
    folder, _, media = text.rstrip(")").partition("(")
    return FileChoices(folder, media)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("presence", ["required", "optional"])
def test_inputs_have_the_reference_names_order_types_and_options(name: str, presence: str) -> None:
    wanted = REFERENCE[name].get(presence, {})
    found = inputs_of(SPECS[name], presence)
    assert [item.name for item in found] == list(wanted)
    for item in found:
        record = wanted[item.name]
        options = {key: value for key, value in item.options.items() if key != "tooltip"}
        assert (item.name, item.type, options) == (item.name, record["type"], wanted_options(record))
        for key, value in wanted_options(record).items():
            assert isinstance(options[key], bool) == isinstance(value, bool)


@pytest.mark.parametrize("name", KNOWN)
def test_choices_are_the_reference_choices(name: str) -> None:
    for presence in ("required", "optional"):
        for item in inputs_of(SPECS[name], presence):
            record = REFERENCE[name][presence][item.name]
            if "files" in record:
                wanted = wanted_files(record["files"])
                assert (item.choices.folder, item.choices.media) == (wanted.folder, wanted.media)
                assert set(item.choices.also) <= set(record.get("also", ()))
            elif (name, item.name) in LISTED_FOLDERS:
                assert item.choices == FileChoices("input", "folders")
            elif "options" in record:
                assert list(item.choices) == record["options"]
            elif "remote" in record:
                assert item.choices == FileChoices(record["image_folder"], "image")
            elif record["type"] == "WEBCAM":
                assert item.choices == FileChoices("input", "image")
            else:
                assert item.choices is None


@pytest.mark.parametrize("name", KNOWN)
def test_hidden_inputs_are_the_reference_ones(name: str) -> None:
    assert {item.name: item.type for item in inputs_of(SPECS[name], "hidden")} == REFERENCE[name].get("hidden", {})


@pytest.mark.parametrize("name", KNOWN)
def test_outputs_and_flags_are_the_reference_ones(name: str) -> None:
    spec, record = SPECS[name], REFERENCE[name]
    assert [{"type": o.type, "name": o.name, "is_list": o.is_list} for o in spec.outputs] == [
        {"is_list": False, **output} for output in record["outputs"]
    ]
    assert spec.category == record["category"]
    assert (spec.title or name) == (record["display_name"] or name)
    flags = (spec.is_output_node, spec.is_input_list, spec.is_deprecated, spec.is_experimental, spec.schema_form)
    keys = ("output_node", "input_is_list", "deprecated", "experimental", "v3")
    assert flags == tuple(record.get(key, False) for key in keys)


@pytest.mark.parametrize("name", [name for name in KNOWN if REFERENCE[name].get("has_fingerprint")])
def test_what_the_reference_fingerprints_depends_on_a_file_or_is_never_cached(name: str) -> None:
    spec = SPECS[name]
    depends_on_file = any(isinstance(item.choices, FileChoices) for item in spec.inputs)
    assert depends_on_file or spec.is_volatile or spec.has_fingerprint


@pytest.mark.parametrize("name", KNOWN)
def test_object_info_has_the_reference_wire_form(name: str) -> None:
    record = REFERENCE[name]
    info = object_info(SPECS[name], lambda choices: [f"a file of {choices.folder}"])
    for presence in ("required", "optional"):
        for input_name, wanted in record.get(presence, {}).items():
            wire = info["input"][presence][input_name]
            is_list = "options" in wanted or "files" in wanted
            if not is_list:
                assert wire[0] == wanted["type"]
            elif record.get("v3"):
                assert wire[0] == "COMBO"
                assert isinstance(wire[1]["options"], list)
                assert wire[1]["multiselect"] is False
            else:
                assert isinstance(wire[0], list)
    assert ("output_tooltips" in info) == bool(record.get("v3"))


def test_every_spec_survives_the_trip_through_json() -> None:
    for spec in SPECS.values():
        assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec


def test_every_node_says_what_it_does() -> None:
    assert [name for name, spec in SPECS.items() if len(spec.description) < 15] == []


def test_only_named_nodes_are_outside_the_reference_list() -> None:
    assert set(SPECS) - set(REFERENCE) == NEWER | OWN


def test_every_covered_category_is_complete_but_for_named_nodes() -> None:
    table = {}
    for category in COVERED_CATEGORIES:
        wanted = {name for name, record in REFERENCE.items() if record["category"] == category}
        missing = wanted - set(SPECS)
        table[category] = f"{len(wanted) - len(missing)}/{len(wanted)} {' '.join(sorted(missing))}"
        assert missing <= OTHER_CATEGORIES.get(category, set()), category
    print("\n".join(f"{category:32} {line}" for category, line in table.items()))


def test_the_switch_is_lazy_in_both_branches() -> None:
    spec = SPECS["ComfySwitchNode"]
    assert [(item.name, item.type, item.is_lazy, item.is_wildcard) for item in spec.inputs] == [
        ("switch", "BOOLEAN", False, False),
        ("on_false", "*", True, True),
        ("on_true", "*", True, True),
    ]
    assert spec.outputs[0].is_wildcard
    needed = DEFINITIONS["ComfySwitchNode"].lazy
    assert needed(switch=True, on_false=None, on_true=None) == ["on_true"]
    assert needed(switch=False, on_false=None, on_true=None) == ["on_false"]
    assert needed(switch=False, on_false=3, on_true=None) == []
    assert needed(switch=None, on_false=None, on_true=None) == []
