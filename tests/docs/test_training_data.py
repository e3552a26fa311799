"""Every sample configuration of docs/training-data.md resolves, and every field of every source is on the page."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from engine.training.config.resolve import resolve
from engine.training.data.latent_cache import LatentCacheRecipe
from engine.training.data.recipe import DataRecipe, SourceRecipe

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training-data.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_a_recipe(sample: str) -> None:
    read = yaml.safe_load(sample)
    recipe = resolve(DataRecipe, read.get("data", {**read, "batch_size": 1}))
    assert recipe.source.kind == read.get("data", read)["source"]["kind"]


@pytest.mark.parametrize("recipe", [*get_args(SourceRecipe), LatentCacheRecipe])
def test_every_field_is_on_the_page(recipe: type) -> None:
    missing = [field.name for field in dataclasses.fields(recipe) if not re.search(rf"\b{field.name}\b", PAGE)]
    assert missing == []
