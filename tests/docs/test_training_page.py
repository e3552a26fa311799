"""The sample configuration of docs/training.md resolves, and every field of every core recipe is on the page."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from engine.training.conditioner import ConditionerRecipe
from engine.training.config.merge import read_config
from engine.training.config.resolve import resolve
from engine.training.diffusion_recipe import DiffusionRecipe
from engine.training.ema import EmaRecipe
from engine.training.embedders.class_labels import ClassRecipe
from engine.training.embedders.clip_text import ClipTextRecipe
from engine.training.embedders.sizes import SizeRecipe
from engine.training.embedders.spatial import SpatialRecipe
from engine.training.export import Sd1ExportRecipe
from engine.training.first_stage import AutoencoderStageRecipe, IdentityStageRecipe
from engine.training.networks.unet import UNetRecipe
from engine.training.optimizer import CosineSchedule, OptimizerRecipe
from engine.training.parameterization import DiscreteTable, EdmTable, FlowTable, ParameterizationRecipe
from engine.training.recipe import TrainingRecipe
from engine.training.samples import SamplesRecipe
from engine.training.sigma_sampling import LogitNormalSampling, LogNormalSampling
from engine.training.trainer_recipe import TrainerRecipe
from engine.training.weighting import EdmWeighting, MinSnrWeighting

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
RECIPES = (
    TrainingRecipe, DiffusionRecipe, UNetRecipe, ParameterizationRecipe, DiscreteTable, EdmTable, FlowTable,
    LogNormalSampling, LogitNormalSampling, EdmWeighting, MinSnrWeighting, IdentityStageRecipe, AutoencoderStageRecipe,
    ConditionerRecipe, ClassRecipe, ClipTextRecipe, SizeRecipe, SpatialRecipe, OptimizerRecipe, CosineSchedule,
    EmaRecipe, TrainerRecipe, SamplesRecipe, Sd1ExportRecipe,
)  # fmt: skip


def test_the_sample_configuration_resolves(tmp_path: Path) -> None:
    (sample,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "sample.yaml").write_text(sample)
    recipe = resolve(TrainingRecipe, read_config([tmp_path / "sample.yaml"]))
    assert recipe.trainer.max_steps == 40000


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_field_is_on_the_page(recipe: type) -> None:
    missing = [field.name for field in dataclasses.fields(recipe) if not re.search(rf"\b{field.name}\b", PAGE)]
    assert missing == []
