"""What belongs to the starter does its part: controls are followed, holes are filled, the refiner lowers the error.

Measures are those of `main.py evaluate starter --control|--inpaint|--refiner` (docs/evaluation.md), on few scenes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.training.evaluation import mean_psnr_db
from engine.training.evaluation_controls import agreement, hint_of, trained_hint
from engine.training.evaluation_inpainting import FillScores, holes, score_fills
from engine.training.postcards import BASE_EXCLUDED_KINDS, BASE_EXCLUDED_STYLES
from engine.worker.painting import Painter, PaintSettings, Steering
from tests.training.starter_parts import MODELS, STARTER, asked, needs, starter, store

EDGES = MODELS / "controlnet" / "starter_controlnet_edges.safetensors"
COLOURS = MODELS / "controlnet" / "starter_controlnet_colours.safetensors"
INPAINT = MODELS / "unet" / "starter_inpaint.safetensors"
REFINER = MODELS / "unet" / "starter_refiner.safetensors"
SETTINGS = PaintSettings(steps=12, guidance=4.0, sampler="dpmpp_2m", scheduler="karras")
MAX_FAMILY_BYTES = 60_000_000


def followed(path: Path, num: int) -> Callable[..., float]:
    """Mean agreement of `num` pictures with the hints of their scenes, for a use of the control."""
    recipe, handle = trained_hint(path), store().open_control(path)
    hints = [hint_of(recipe, question.truth(256)) for question in asked(num)]
    texts = [question.caption.text for question in asked(num)]

    @cache
    def measure(strength: float = 1.0, start: float = 0.0, end: float = 1.0) -> float:
        steering = Steering(handle, hints, strength, start, end)
        made = Painter(*starter()).paint(texts, SETTINGS, 5, steering=steering)
        return float(np.mean([agreement(recipe, picture, hint) for picture, hint in zip(made, hints)]))

    return measure


def through_autoencoder(pictures: list[np.ndarray]) -> list[np.ndarray]:
    vae = starter()[2]
    given = [vae.encode(Steering(None, [picture]).use(0).image) for picture in pictures]
    return [(vae.decode(latent)[0] * 255).round().numpy().astype(np.uint8) for latent in given]


def test_all_files_of_the_starter_together_are_small() -> None:
    files = [path for path in MODELS.rglob("*starter*") if path.is_file() and path.suffix != ".yaml"]
    assert STARTER in files
    # Where its autoencoder and text encoder were trained they lie beside it; it holds both itself.
    left = {MODELS / "vae" / "starter_vae.safetensors", MODELS / "text_encoders" / "starter_text_encoder.safetensors"}
    assert sum(path.stat().st_size for path in set(files) - left) <= MAX_FAMILY_BYTES


# ------------------------------------------------------------------ controls


@pytest.mark.slow
@needs(EDGES)
def test_edges_are_followed_twice_as_well_with_their_control() -> None:
    measure = followed(EDGES, 4)
    assert measure() >= 2 * measure(0.0)


@pytest.mark.thorough
@needs(EDGES)
def test_strength_start_and_end_scale_how_edges_are_followed() -> None:
    measure = followed(EDGES, 6)
    assert measure(0.0) < measure(0.4) < measure()
    assert measure(0.0) < measure(1.0, 0.0, 0.3) < measure()
    assert measure(1.0, 0.6, 1.0) < measure()


@pytest.mark.thorough
@needs(COLOURS)
def test_colours_are_nearer_to_those_that_were_asked_for_with_their_control() -> None:
    measure = followed(COLOURS, 6)
    assert measure() < measure(0.4) < measure(0.0)
    assert measure() < 0.6 * measure(0.0)
    assert measure() < measure(1.0, 0.5, 1.0)


# ------------------------------------------------------------------ holes


@cache
def fills(num: int, by_the_specialist: bool) -> FillScores:
    cut = holes(num, exclude_styles=BASE_EXCLUDED_STYLES, exclude_kinds=BASE_EXCLUDED_KINDS)
    model, clip, vae = starter()
    filler = store().open_diffusion_model(INPAINT) if by_the_specialist else model
    pictures, masks = [hole.picture for hole in cut], [hole.mask for hole in cut]
    made: Any = Painter(filler, clip, vae).paint([hole.prompt for hole in cut], SETTINGS, 5, pictures, masks)
    return score_fills(cut, made, through_autoencoder(pictures))


@pytest.mark.slow
@needs(INPAINT)
def test_the_inpainting_model_changes_the_hole_alone_and_paints_what_is_asked_for() -> None:
    scores = fills(6, True)
    assert scores.outside < 1.5
    assert scores.kind.share >= 0.5


@pytest.mark.thorough
@needs(INPAINT)
def test_the_inpainting_model_fills_holes_better_than_the_starter_under_a_mask() -> None:
    own, other = fills(16, True), fills(16, False)
    assert own.inside_db > other.inside_db
    assert own.coloured.num_met >= other.coloured.num_met


# ------------------------------------------------------------------ refiner


@pytest.mark.slow
@needs(REFINER)
def test_the_refiner_lowers_the_error_in_equal_steps() -> None:
    truths = [question.truth(256) for question in asked(8)]
    texts, wanted = [question.caption.text for question in asked(8)], through_autoencoder(truths)
    model, clip, vae = starter()
    half = replace(SETTINGS, steps=6, denoise=0.5, guidance=1.0)
    error = {
        name: mean_psnr_db(Painter(chosen, clip, vae).paint(texts, half, 5, truths), wanted)
        for name, chosen in (("starter", model), ("refiner", store().open_diffusion_model(REFINER)))
    }
    assert error["refiner"] > error["starter"]
