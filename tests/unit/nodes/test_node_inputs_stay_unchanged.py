"""No node changes what it is given, and every node is tried here."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from node_context import KeepingContext
from test_node_specs import DEFINITIONS

from engine.graph.schema import InputSpec
from nodes.latent_operations import Sharpen

OWN_TYPES = {
    "IMAGE", "MASK", "LATENT", "LATENT_OPERATION", "SVG", "WEBCAM", "INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "*"
}  # fmt: skip
SKIPPED = {
    "VAELoader", "CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "DualCLIPLoader", "UpscaleModelLoader",
    "CLIPVisionLoader", "StyleModelLoader", "PhotoMakerLoader", "unCLIPCheckpointLoader", "CheckpointLoader",
    "DiffusersLoader", "ControlNetLoader", "GLIGENLoader", "SafetyCheckerLoader", "LoadLatent",
    "LoadImageSetFromFolderNode",
}  # fmt: skip
"""Loaders of files that are not pictures, and of folders; the last two are tried with their own files elsewhere."""
TRIED = sorted(
    name
    for name, definition in DEFINITIONS.items()
    if name not in SKIPPED
    and not definition.is_generator
    and {item.type for item in definition.spec.visible_inputs} <= OWN_TYPES
)


def value_for(item: InputSpec, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    if item.type == "IMAGE":
        return torch.rand(2, 24, 32, 3, generator=generator)
    if item.type == "MASK":
        return torch.rand(2, 24, 32, generator=generator)
    if item.type == "LATENT":
        return {
            "samples": torch.randn(2, 4, 12, 16, generator=generator),
            "noise_mask": torch.rand(2, 1, 96, 128, generator=generator),
            "batch_index": [4, 5],
        }
    if item.type == "LATENT_OPERATION":
        return Sharpen(2, 1.0, 0.1)
    if item.type == "SVG":
        return ["<svg/>", "<svg>é</svg>"]
    if item.type in ("COMBO", "WEBCAM"):
        return item.choices[-1] if isinstance(item.choices, tuple) else "cutout.png"
    if item.type == "BOOLEAN":
        return True
    if item.type == "STRING":
        return item.options.get("default", "ab")
    return item.options.get("default", 1) if item.type in ("INT", "FLOAT") else [1, {"a": 2}]


def special(name: str) -> dict[str, Any]:
    video = {"samples": torch.randn(1, 4, 3, 4, 4), "noise_mask": torch.rand(1, 1, 32, 32)}
    return {
        "TrimVideoLatent": {"samples": video, "trim_amount": 1},
        "LatentConcat": {"dim": "-y"},
        "LatentCut": {"dim": "y"},
        "ImageToMask": {"channel": "blue"},
        "GrowMask": {"expand": -2},
        "FeatherMask": {"left": 4, "bottom": 3},
        "LatentComposite": {"x": 16, "y": 8, "feather": 16},
        "ImagePadForOutpaint": {"left": 8, "feathering": 4},
        "EmptyLatentImage": {"width": 64, "height": 64},
        "PrimitiveFloat": {"value": 0.5},
        "Watermark": {"images": torch.rand(1, 256, 256, 3)},
        "WatermarkDetect": {"images": torch.rand(1, 256, 256, 3)},
    }.get(name, {})


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.parametrize("name", TRIED)
def test_a_node_leaves_its_inputs_as_they_were(name: str, pictures: Path) -> None:
    definition = DEFINITIONS[name]
    values = {item.name: value_for(item, seed) for seed, item in enumerate(definition.spec.visible_inputs)}
    values |= special(name)
    if definition.spec.is_input_list:
        values = {key: [value] for key, value in values.items()}
    before = copy.deepcopy(values)
    context = {definition.context_parameter: KeepingContext(pictures)} if definition.context_parameter else {}
    definition.function(**values, **context)
    assert same(values, before)


def test_nearly_every_model_free_node_is_tried() -> None:
    assert len(TRIED) >= 105
