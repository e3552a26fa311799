"""Small recipes for tests of whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.training.config.merge import apply_override, merge
from engine.training.config.resolve import resolve
from engine.training.lightning_module import RunHooks
from engine.training.recipe import TrainingRecipe
from engine.training.run_folder import RunFolder
from engine.training.trainer import RunResult, train

__all__ = ["CLASS_RECIPE", "recipe", "run"]

CLASS_RECIPE: dict[str, Any] = {
    "seed": 3,
    "model": {
        "kind": "diffusion",
        "network": {
            "kind": "unet", "in_channels": 1, "out_channels": 1, "model_channels": 32, "channel_mult": [1, 1],
            "num_res_blocks": 1, "transformer_depth": [0, 0], "middle_depth": 0, "vector_width": 8,
        },
        "parameterization": {"prediction": "edm", "sigma_data": 1.0, "table": {"kind": "edm"}},
        "sigma_sampling": {"kind": "log_normal"},
        "weighting": {"kind": "edm", "sigma_data": 1.0},
        "conditioner": {"embedders": [{"kind": "class", "num_classes": 10, "width": 8, "ucg_rate": 0.2}]},
        "first_stage": {"kind": "identity", "num_channels": 1},
    },
    "data": {
        "batch_size": 4,
        "source": {
            "kind": "synthetic",
            "fields": [
                {"key": "image", "values": "pixels", "shape": [1, 8, 8]},
                {"key": "class", "values": "whole", "below": 10},
            ],
        },
    },
    "trainer": {"max_steps": 6, "log_every": 2, "checkpoint_every": 2, "accelerator": "cpu"},
    "optimizer": {"learning_rate": 1e-3, "schedule": {"kind": "cosine", "warmup_steps": 2}},
    "ema": {"decay": 0.9},
}  # fmt: skip
"""A class-conditional network for pictures of 8 × 8."""


def recipe(*overrides: str, over: dict[str, Any] | None = None) -> TrainingRecipe:
    """The class recipe with changes."""
    data = merge(CLASS_RECIPE, over or {})
    for override in overrides:
        data = apply_override(data, override)
    return resolve(TrainingRecipe, data)


def run(folder: Path, wanted: TrainingRecipe, *, resumes: bool = False, **hooks: Any) -> RunResult:
    """Train in a folder, relative paths below it as well."""
    return train(wanted, RunFolder(folder), folder, RunHooks(**hooks), resumes=resumes)
