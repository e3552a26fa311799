"""The shipped starter and what belongs to it, opened once, and the prompts it is asked."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.core.folders import Folders, default_model_folders
from engine.core.settings import MemorySettings, Settings
from engine.families.model_store import ModelStore, model_store_from_settings
from engine.training.evaluation import Question, Scores, questions, score_pictures
from engine.training.postcards import BASE_EXCLUDED_KINDS, BASE_EXCLUDED_STYLES
from engine.worker.painting import Painter, PaintSettings

__all__ = ["MODELS", "STARTER", "asked", "needs", "scores", "starter", "store"]

MODELS = Path(__file__).resolve().parents[2] / "models"
STARTER = MODELS / "checkpoints" / "starter.safetensors"


def needs(path: Path) -> pytest.MarkDecorator:
    """Marks a test of weights that have to be trained first."""
    place = path.relative_to(MODELS.parent)
    return pytest.mark.skipif(not path.is_file(), reason=f"{place} is not there; train it (docs/training-starter.md)")


@cache
def store() -> ModelStore:
    own = Path(tempfile.mkdtemp(prefix="starter-"))
    models = default_model_folders(MODELS, own, ())
    folders = Folders(MODELS.parent, input=own, output=own, temp=own, user=own, custom_nodes=(), models=models)
    return model_store_from_settings(Settings(folders=folders, memory=MemorySettings(device="cpu")))


@cache
def starter() -> tuple[Any, Any, Any]:
    return store().open_checkpoint(STARTER)


@cache
def asked(num: int) -> tuple[Question, ...]:
    return tuple(questions(num, exclude_styles=BASE_EXCLUDED_STYLES, exclude_kinds=BASE_EXCLUDED_KINDS))


def scores(num: int, settings: PaintSettings) -> Scores:
    texts = [question.caption.text for question in asked(num)]
    return score_pictures(asked(num), Painter(*starter()).paint(texts, settings))
