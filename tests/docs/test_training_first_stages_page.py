"""The sample configurations of docs/training-first-stages.md resolve; every field of their recipes is on the page."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from engine.training.autoencoder.discriminator import DiscriminatorRecipe
from engine.training.autoencoder.loss import AutoencoderLossRecipe, PictureLossRecipe
from engine.training.autoencoder.recipe import AutoencoderRecipe
from engine.training.config.merge import read_config
from engine.training.config.resolve import resolve
from engine.training.crops import CropRecipe
from engine.training.degradation import DegradationRecipe
from engine.training.network_export import NetworkExportRecipe
from engine.training.preview_decoder import PreviewDecoderRecipe
from engine.training.recipe import TrainingRecipe
from engine.training.upscaler import UpscalerRecipe
from engine.training.validation import ValidationRecipe

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training-first-stages.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
RECIPES = (
    AutoencoderRecipe, AutoencoderLossRecipe, DiscriminatorRecipe, CropRecipe, PreviewDecoderRecipe, PictureLossRecipe,
    UpscalerRecipe, DegradationRecipe, ValidationRecipe, NetworkExportRecipe,
)  # fmt: skip


def test_the_sample_configurations_resolve(tmp_path: Path) -> None:
    kinds = []
    for sample in SAMPLES:
        (tmp_path / "sample.yaml").write_text(sample)
        kinds.append(resolve(TrainingRecipe, read_config([tmp_path / "sample.yaml"])).model.kind)
    assert kinds == ["autoencoder", "preview_decoder", "upscaler"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_field_is_on_the_page(recipe: type) -> None:
    missing = [field.name for field in dataclasses.fields(recipe) if not re.search(rf"\b{field.name}\b", PAGE)]
    assert missing == []
