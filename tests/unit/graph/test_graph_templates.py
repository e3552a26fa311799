"""The published workflow templates: none loses a value, all compile, known ones validate but for missing files."""

from __future__ import annotations

import json
from random import Random

import pytest

from engine.graph.compile import compile_workflow
from engine.graph.graph import Graph
from engine.graph.prompt import parse_prompt, to_prompt
from engine.graph.schema import FileChoices
from engine.graph.validate import validate
from engine.graph.workflow import Workflow
from tests.built_in_nodes import built_in_catalog
from tests.published_templates import published_templates, templates_folder
from tests.reference_catalog import reference_catalog

pytestmark = pytest.mark.skipif(
    templates_folder() is None, reason="the package comfyui-workflow-templates is not installed"
)

OF_THESE_FAMILIES = {
    "basic_mask_operations_and_compositing": set(),
    "image_sdxl_simple": {("checkpoints", "sd_xl_base_1.0.safetensors")},
    "sdxl_refiner_prompt_example": {
        ("checkpoints", "sd_xl_base_1.0.safetensors"), ("checkpoints", "sd_xl_refiner_1.0.safetensors")
    },
    "sdxl_revision_text_prompts": {
        ("checkpoints", "sd_xl_base_1.0.safetensors"), ("clip_vision", "clip_vision_g.safetensors")
    },
    "sdxl_simple_example": {
        ("checkpoints", "sd_xl_base_1.0.safetensors"), ("checkpoints", "sd_xl_refiner_1.0.safetensors")
    },
    "sdxlturbo_example": {("checkpoints", "sd_xl_turbo_1.0_fp16.safetensors")},
}  # fmt: skip
"""Templates of the package that need Stable Diffusion 1, 2, XL or no model → the weight files they name."""


def compiled(workflow: Workflow) -> Graph:
    return compile_workflow(workflow, reference_catalog(), rng=Random(0))


def test_there_are_hundreds_of_templates() -> None:
    assert len(published_templates()) > 600


def test_no_template_loses_a_value_in_either_schema() -> None:
    for name, document in published_templates().items():
        workflow = Workflow.load(document)
        assert workflow.save(version=0.4) == document, name
        assert Workflow.load(json.dumps(workflow.save(version=1))) == workflow, name


def test_every_template_compiles_to_the_same_graph_from_both_schemas() -> None:
    for name, document in published_templates().items():
        workflow = Workflow.load(document)
        graph = compiled(workflow)
        assert compiled(Workflow.load(workflow.save())) == graph, name
        assert parse_prompt(to_prompt(graph)) == graph, name


def test_templates_of_known_nodes_are_valid_but_for_files_and_newer_choices() -> None:
    def list_files(choices: FileChoices) -> list[str]:
        return []

    num_known = 0
    for name, document in published_templates().items():
        graph = compiled(Workflow.load(document))
        if not all(node.type in reference_catalog() for node in graph.nodes.values()):
            continue
        num_known += 1
        found = validate(graph, reference_catalog(), list_files=list_files, file_exists=lambda folder, file: True)
        assert {complaint.code for complaint in found.complaints} <= {"value_not_in_list"}, name
        assert found.reached, name
    assert num_known > 70


@pytest.mark.parametrize("name", OF_THESE_FAMILIES)
def test_a_template_for_a_model_of_ours_lacks_nothing_but_weight_files_and_says_where_they_belong(name: str) -> None:
    graph = compile_workflow(Workflow.load(published_templates()[f"{name}.json"]), built_in_catalog(), rng=Random(0))
    found = validate(graph, built_in_catalog(), list_files=lambda choices: [], file_exists=lambda folder, file: True)
    assert {complaint.code for complaint in found.complaints} <= {"value_not_in_list"}
    assert {complaint.got for complaint in found.complaints} == {file for _, file in OF_THESE_FAMILIES[name]}
    for folder, file in OF_THESE_FAMILIES[name]:
        remedies = {complaint.remedy for complaint in found.complaints if complaint.got == file}
        assert remedies == {f"Put the file into the folder {folder!r}."}

    def list_wanted(choices: FileChoices) -> list[str]:
        return [file for folder, file in OF_THESE_FAMILIES[name] if folder == choices.folder]

    complete = validate(graph, built_in_catalog(), list_files=list_wanted, file_exists=lambda folder, file: True)
    assert complete.complaints == ()
    assert complete.reached == found.reached
