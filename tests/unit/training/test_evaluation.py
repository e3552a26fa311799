"""Scores of pictures against their prompts, and the command that prints them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.command import evaluate
from engine.core.errors import AtelierError
from engine.training.evaluation import format_table, psnr_db, questions, score_pictures, tally
from engine.training.postcards.judge import Check, Verdict
from tests.untrained_sd1 import write_untrained_checkpoint


def verdict(*checks: tuple[str, bool]) -> Verdict:
    return Verdict(tuple(Check(name, None, "a", "a" if holds else "b", holds) for name, holds in checks))


def test_claims_are_counted_by_attribute_and_a_picture_counts_as_whole_when_all_hold() -> None:
    scores = tally([verdict(("colour", True), ("count", False)), verdict(("colour", True), ("body size", True))])
    assert (scores.attributes["colour"].num_met, scores.attributes["colour"].num_made) == (2, 2)
    assert scores.attributes["count"].share == 0.0
    assert scores.attributes["body"].num_made == 1
    assert scores.whole.share == 0.5
    table = format_table({"a setting": scores}).splitlines()
    assert table[0].count("|") == table[2].count("|")
    assert table[2].startswith("| a setting | 100.0 | 100.0 | 0.0 |")


def test_questions_are_held_out_and_the_same_every_time() -> None:
    first, again = questions(3, exclude_styles=("woodcut",)), questions(3, exclude_styles=("woodcut",))
    assert [question.caption for question in first] == [question.caption for question in again]
    assert all(question.scene.split == "held_out" and question.scene.style != "woodcut" for question in first)


def test_a_scene_scores_higher_than_another_question_s_scene() -> None:
    asked = questions(3)
    own = score_pictures(asked, [question.truth(256) for question in asked])
    other = score_pictures(asked, [question.truth(256) for question in [*asked[1:], asked[0]]])
    assert own.whole.num_met > other.whole.num_met


def test_psnr_is_that_of_the_mean_squared_error() -> None:
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert psnr_db(black, grey) == pytest.approx(20 * np.log10(5))
    assert psnr_db(grey, grey) == float("inf")


@pytest.mark.slow
def test_the_command_paints_judges_and_saves_counts_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "models" / "checkpoints" / "small.safetensors"
    write_untrained_checkpoint(checkpoint)
    arguments = ["small", "--num", "1", "--steps", "1", "--size", "128", "--autoencoder", "--base-directory"]
    arguments += [
        str(tmp_path),
        "--sampler",
        "euler,lms",
        "--json",
        str(tmp_path / "counts.json"),
        "--grid",
        str(tmp_path / "grid.png"),
        "--cpu",
    ]
    assert evaluate.main(tmp_path, arguments) == 0
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert list(counts) == ["guidance 4, 1 steps, euler, karras", "guidance 4, 1 steps, lms, karras"]
    assert all(row["everything"] == [0, 1] for row in counts.values())
    assert (tmp_path / "grid.png").stat().st_size > 1000
    assert "guidance 4" in capsys.readouterr().out


def test_an_unknown_checkpoint_is_refused_with_those_there_are(tmp_path: Path) -> None:
    write_untrained_checkpoint(tmp_path / "models" / "checkpoints" / "small.safetensors")
    with pytest.raises(AtelierError, match="no checkpoint 'smal'") as caught:
        evaluate.main(tmp_path, ["smal", "--num", "1", "--base-directory", str(tmp_path)])
    assert "small.safetensors" in caught.value.hint


def test_no_prompts_are_nothing_to_judge(tmp_path: Path) -> None:
    with pytest.raises(AtelierError, match="nothing to judge"):
        evaluate.main(tmp_path, ["small", "--num", "0"])


def test_an_unknown_sampler_is_refused_with_those_that_exist_before_anything_is_painted(tmp_path: Path) -> None:
    with pytest.raises(AtelierError) as caught:
        evaluate.main(tmp_path, ["starter", "--sampler", "euler,oiler", "--base-directory", str(tmp_path), "--cpu"])
    assert "'oiler'" in str(caught.value)
    assert "heun" in str(caught.value.hint)
