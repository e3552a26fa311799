"""The ready-made workflows: they load, compile, validate without complaint, look tidy, and run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.api import NodeResult
from engine.graph.compile import compile_workflow
from engine.graph.graph import Graph, Link
from engine.graph.schema import FileChoices
from engine.graph.validate import validate
from engine.graph.workflow import Workflow
from tests.built_in_nodes import built_in_catalog, built_in_nodes
from tests.template_models import TEMPLATE_FILES

sys.path.insert(0, str(Path(__file__).parent / "nodes"))

from node_context import KeepingContext

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "workflows").glob("*.json"))
EXAMPLES = ROOT / "input"
WITHOUT_MODEL = {
    "upscale": {"upscale": 1},
    "composite_with_mask": {"composite": 1},
    "contact_sheet": {"contact_sheet": 1, "contact_sheet/frame_%batch_num%": 4},
    "animated_webp": {"day_to_night": 1, "day_to_night_apng": 1},
    "prompt_building": {},
    "watermark_and_detect": {"watermark/marked": 1},
    "latent_maths": {"latents/mixed": 1},
    "picture_looks": {f"looks/{look}": 1 for look in ("poster", "pencil", "focus", "swapped", "wide", "grain")},
}
"""Workflow → how many files it saves under which prefix."""
WITH_MODEL = {
    "area_composition", "controlnet", "embedding", "hires_fix", "image_to_image", "inpaint", "inpaint_model",
    "lora_stack", "model_merge", "outpaint", "sdxl_base_and_refiner", "sdxl_turbo_one_step", "text_to_image",
    "tiled_upscale", "two_controlnets", "upscale_model",
}  # fmt: skip


DEFINITIONS = built_in_nodes()
CATALOG = built_in_catalog()


def list_files(choices: FileChoices) -> list[str]:
    if choices.folder in TEMPLATE_FILES:
        return list(TEMPLATE_FILES[choices.folder])
    endings = {"image": (".png",), "*.latent": (".latent",)}.get(choices.media, ("",))
    return sorted(path.name for path in EXAMPLES.glob("example_*") if path.name.endswith(endings))


def compiled(path: Path) -> Graph:
    return compile_workflow(Workflow.load(path.read_bytes()), CATALOG)


def run(graph: Graph, order: tuple[str, ...], context: KeepingContext) -> dict[str, Any]:
    """Call the nodes one after the other; a plain stand-in for the executor, without lists and expansion."""
    values: dict[str, Any] = {}
    for node_id in order:
        node = graph.nodes[node_id]
        definition = DEFINITIONS[node.type]
        arguments = {
            name: values[value.node][value.slot] if isinstance(value, Link) else value
            for name, value in node.inputs.items()
        }
        if definition.context_parameter:
            arguments[definition.context_parameter] = context
        result = definition.function(**arguments)
        if isinstance(result, NodeResult):
            context.texts += (result.ui or {}).get("text", [])
            result = result.values
        values[node_id] = result if isinstance(result, tuple) else (result,)
    return values


def test_there_is_a_workflow_for_every_common_way_to_work() -> None:
    names = {path.stem for path in FILES}
    assert set(WITHOUT_MODEL) | WITH_MODEL == names
    assert len(WITHOUT_MODEL) >= 6


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_that_is_missing_is_named_with_the_folder_it_belongs_in(path: Path) -> None:
    def list_shipped(choices: FileChoices) -> list[str]:
        return [name for name in list_files(choices) if choices.folder == "input" or name == "starter.safetensors"]

    graph = compiled(path)
    wanted = {
        (item.choices.folder, node.inputs[item.name])
        for node in graph.nodes.values()
        for item in CATALOG[node.type].widgets
        if isinstance(item.choices, FileChoices) and item.choices.folder in TEMPLATE_FILES
    } - {("checkpoints", "starter.safetensors")}
    complaints = validate(graph, CATALOG, list_files=list_shipped).complaints
    assert len(complaints) == len(wanted)
    for folder, name in wanted:
        (found,) = (complaint for complaint in complaints if complaint.got == name)
        assert name in found.message
        assert folder in found.remedy


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_others_is_stated_with_its_folder_and_its_licence(path: Path) -> None:
    nodes = Workflow.load(path.read_bytes()).save(0.4)["nodes"]
    stated = {(m["directory"], m["name"]): m for node in nodes for m in node["properties"].get("models", ())}
    wanted = {
        (folder, value)
        for node in nodes
        for value in node.get("widgets_values") or ()
        for folder, names in TEMPLATE_FILES.items()
        if value in names and not value.startswith("starter")
    }
    assert stated.keys() == wanted
    assert all(model["license"] for model in stated.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_compiles_and_has_no_complaints(path: Path) -> None:
    validation = validate(compiled(path), CATALOG, list_files=list_files)
    assert [str(complaint) for complaint in validation.complaints] == []
    assert validation.can_run


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_has_every_value_where_the_node_expects_it(path: Path) -> None:
    graph = compiled(path)
    for node in graph.nodes.values():
        spec = CATALOG[node.type]
        for item in spec.widgets:
            assert item.name in node.inputs
        for item in spec.visible_inputs:
            if item.presence == "required":
                assert item.name in node.inputs


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_is_tidy_to_look_at(path: Path) -> None:
    document = Workflow.load(path.read_bytes()).save(0.4)
    boxes = [(node["pos"][0], node["pos"][1] - 30, *node["size"]) for node in document["nodes"]]
    for index, (x, y, w, h) in enumerate(boxes):
        for other_x, other_y, other_w, other_h in boxes[index + 1 :]:
            assert x + w <= other_x or other_x + other_w <= x or y + h + 30 <= other_y or other_y + other_h + 30 <= y
    assert len(document["groups"]) >= 3
    assert any(node["type"] == "MarkdownNote" and node["widgets_values"][0] for node in document["nodes"])
    assert document["version"] == 0.4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_saves_and_loads_as_the_same(path: Path) -> None:
    workflow = Workflow.load(path.read_bytes())
    for version in (0.4, 1):
        assert Workflow.load(workflow.save(version)) == workflow


@pytest.mark.parametrize("name", sorted(WITHOUT_MODEL))
def test_a_workflow_without_model_runs_and_saves_what_it_promises(name: str) -> None:
    graph = compiled(ROOT / "workflows" / f"{name}.json")
    validation = validate(graph, CATALOG, list_files=list_files)
    context = KeepingContext(EXAMPLES)
    with torch.inference_mode():
        run(validation.graph, validation.reached, context)
    saved: dict[str, int] = {}
    for file in context.files:
        if file.folder == "output":
            saved[file.prefix] = saved.get(file.prefix, 0) + 1
    assert saved == WITHOUT_MODEL[name]
    if name == "prompt_building":
        prompt = "a lighthouse on a rocky coast, oil on canvas, dark clouds, high waves"
        assert sorted(context.texts) == sorted([prompt, str(len(prompt)), "lighthouse"])
    if name == "watermark_and_detect":
        assert set(context.texts) == {"48 of 48 bits: very likely", "21 of 48 bits: none"}


def test_the_text_workflow_starts_from_the_checkpoint_and_the_two_prompts() -> None:
    graph = compiled(ROOT / "workflows" / "text_to_image.json")
    by_title = {node.title: node for node in graph.nodes.values()}
    assert by_title["Prompt"].type == by_title["Negative prompt"].type == "CLIPTextEncode"
    sampler = by_title["Sampler"].inputs
    wanted = {"steps": 20, "cfg": 4.0, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0}
    assert {key: sampler[key] for key in wanted} == wanted
    assert by_title["Size"].inputs == {"width": 256, "height": 256, "batch_size": 1}
    assert by_title["Save"].inputs["filename_prefix"] == "text_to_image"
    assert by_title["Checkpoint"].inputs["ckpt_name"] == "starter.safetensors"
