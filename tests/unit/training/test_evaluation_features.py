"""Measures of controls and of filled holes, and the command that prints them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.command import evaluate
from engine.core.errors import AtelierError
from engine.training.adapters.base_model import BaseModelRecipe
from engine.training.adapters.checkpoint_export import CheckpointExportRecipe
from engine.training.adapters.fine_tune import FineTuneRecipe
from engine.training.context import BuildContext
from engine.training.control.colours import ColourCellsRecipe
from engine.training.control.edges import CannyRecipe
from engine.training.control.recipe import ControlExportRecipe, ControlNetRecipe
from engine.training.evaluation import mean_psnr_db, questions
from engine.training.evaluation_controls import agreement, colour_distance, edge_f1, hint_of, trained_hint
from engine.training.evaluation_inpainting import holes, score_fills
from engine.training.inpainting.recipe import InpaintingRecipe
from tests.untrained_sd1 import write_untrained_checkpoint


def line(row: int) -> np.ndarray:
    edges = np.zeros((32, 32), bool)
    edges[row] = True
    return edges


def test_edges_count_as_met_within_the_tolerance_and_not_beyond_it() -> None:
    assert edge_f1(line(10), line(10)) == edge_f1(line(12), line(10)) == 1.0
    assert edge_f1(line(13), line(10)) == 0.0
    assert edge_f1(line(10) | line(20), line(10)) == pytest.approx(2 / 3)
    assert edge_f1(line(10), line(10) | line(20)) == pytest.approx(2 / 3)
    empty = np.zeros((32, 32), bool)
    assert (edge_f1(empty, empty), edge_f1(empty, line(3)), edge_f1(line(3), empty)) == (1.0, 0.0, 0.0)


def test_colours_differ_by_their_distance_in_lab() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert colour_distance(black, white) == pytest.approx(100, abs=0.1)
    assert colour_distance(white, white) == 0.0


@pytest.mark.parametrize("recipe", [CannyRecipe(), ColourCellsRecipe("colour_cells")])
def test_a_scene_agrees_with_its_own_hint_and_less_with_that_of_another(recipe: CannyRecipe) -> None:
    own, other = (question.truth(256) for question in questions(2))
    exact, wrong = (agreement(recipe, picture, hint_of(recipe, own)) for picture in (own, other))
    if isinstance(recipe, CannyRecipe):
        assert (exact, wrong < 0.6) == (1.0, True)
    else:
        assert (exact, wrong > 8) == (0.0, True)


def test_holes_are_cut_around_objects_and_a_scene_fills_its_own() -> None:
    cut, again = holes(2), holes(2)
    assert [hole.box_px for hole in cut] == [hole.box_px for hole in again]
    assert all(hole.kind in hole.prompt and 0.005 < hole.mask.mean() < 0.6 for hole in cut)
    pictures = [hole.picture for hole in cut]
    own = score_fills(cut, pictures, pictures)
    assert (own.kind.share, own.coloured.share, own.outside, own.inside_db) == (1.0, 1.0, 0.0, float("inf"))
    grey = [np.where(hole.mask[..., None] > 0, 128, hole.picture).astype(np.uint8) for hole in cut]
    blank = score_fills(cut, grey, pictures)
    assert (blank.kind.num_met, blank.outside) == (0, 0.0)
    assert blank.inside_db < 25
    brighter = [np.clip(picture.astype(int) + 3, 0, 255).astype(np.uint8) for picture in pictures]
    assert 2.0 < score_fills(cut, brighter, pictures).outside <= 3.0
    assert mean_psnr_db(brighter, pictures) == pytest.approx(38.6, abs=1)


@pytest.mark.thorough
def test_the_command_measures_a_control_an_inpainting_model_and_a_refiner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    checkpoint = models / "checkpoints" / "small.safetensors"
    write_untrained_checkpoint(checkpoint)
    context, base = BuildContext(tmp_path), BaseModelRecipe(checkpoint)
    hint = ColourCellsRecipe("colour_cells", cell_px=32)
    control = ControlNetRecipe("controlnet", base, hint, (4, 8, 8, 8), rank=2).build(context)
    ControlExportRecipe("controlnet").write(control, models / "controlnet" / "colours.safetensors", {})
    export = CheckpointExportRecipe("checkpoint")
    export.write(InpaintingRecipe("inpainting", base).build(context), models / "unet" / "fill.safetensors", {})
    export.write(FineTuneRecipe("fine_tune", base).build(context), models / "unet" / "refine.safetensors", {})
    assert trained_hint(models / "controlnet" / "colours.safetensors") == hint
    arguments = [
        "small",
        "--num",
        "1",
        "--steps",
        "2",
        "--sampler",
        "euler",
        "--base-directory",
        str(tmp_path),
        "--cpu",
    ]
    arguments += ["--control", "colours", "--strength", "0.5,1", "--span", "0:1,0:0.5"]
    assert evaluate.main(tmp_path, [*arguments, "--inpaint", "fill", "--refiner", "refine"]) == 0
    control_table, fill_table, refiner_table, prompts = capsys.readouterr().out.strip().split("\n\n")
    rows = [row.split(" |")[0].strip("| ") for row in control_table.splitlines()[2:]]
    assert rows == [
        "without control",
        *(f"strength {s}, from 0 to {end}" for s in ("0.5", "1") for end in ("1", "0.5")),
    ]
    assert len(fill_table.splitlines()) == len(refiner_table.splitlines()) == len(prompts.splitlines()) == 4
    # Nothing was learned: an inpainting network, a refiner and a control begin as their base.
    for table in (control_table, fill_table, refiner_table, prompts):
        assert len({row.split("|", 2)[2] for row in table.splitlines()[2:]}) == 1


def test_a_control_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    write_untrained_checkpoint(tmp_path / "models" / "checkpoints" / "small.safetensors")
    with pytest.raises(AtelierError, match="no file 'edges' among controlnet"):
        evaluate.main(
            tmp_path, ["small", "--num", "1", "--base-directory", str(tmp_path), "--control", "edges", "--cpu"]
        )
