"""How well pictures show what their prompts name, by the judge; and how well an autoencoder keeps a picture.

The prompts are captions of held-out postcards. The judge is classical image analysis and knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.training.postcards import Caption, caption_of, scene_at
from engine.training.postcards.judge import Verdict, judge
from engine.training.postcards.render import render
from engine.training.postcards.scene import Scene

__all__ = [
    "Question",
    "Score",
    "Scores",
    "format_table",
    "mean_psnr_db",
    "psnr_db",
    "questions",
    "score_pictures",
    "tally",
]

ATTRIBUTES = ("object", "colour", "count", "relation", "size", "body", "time", "weather", "land", "style")
"""Columns of the table, those a prompt is followed by first."""


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out scene and its caption."""

    scene: Scene
    caption: Caption

    def truth(self, size_px: int) -> np.ndarray:
        """The scene itself, uint8 [size size 3], drawn by the generator."""
        return render(self.scene, size_px)


@dataclass(frozen=True, slots=True)
class Score:
    """Claims that a picture met, of those made."""

    num_met: int
    num_made: int

    @property
    def share(self) -> float:
        """0 … 1; 1 where nothing was claimed."""
        return self.num_met / self.num_made if self.num_made else 1.0


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores by attribute over many pictures, and how many pictures showed everything their prompt names."""

    attributes: Mapping[str, Score]
    whole: Score


def questions(
    num_questions: int, *, exclude_styles: Sequence[str] = (), exclude_kinds: Sequence[str] = ()
) -> list[Question]:
    """The first held-out captions, each in a wording of its own; the same ones every time."""
    asked = []
    for number in range(num_questions):
        scene = scene_at(
            number, split="held_out", exclude_styles=tuple(exclude_styles), exclude_kinds=tuple(exclude_kinds)
        )
        asked.append(Question(scene, caption_of(scene, number)))
    return asked


def score_pictures(asked: Sequence[Question], pictures: Iterable[np.ndarray]) -> Scores:
    """Judge a picture, uint8 [h w 3], for each question, in order."""
    return tally(judge(picture, question.caption.named) for question, picture in zip(asked, pictures))


def tally(verdicts: Iterable[Verdict]) -> Scores:
    """Count met claims by attribute."""
    met: dict[str, int] = dict.fromkeys(ATTRIBUTES, 0)
    made = dict(met)
    num_whole = num_verdicts = 0
    for verdict in verdicts:
        num_verdicts += 1
        num_whole += verdict.holds
        for check in verdict.checks:
            name = "body" if check.attribute == "body size" else check.attribute
            made[name] += 1
            met[name] += check.holds
    return Scores({name: Score(met[name], made[name]) for name in ATTRIBUTES}, Score(num_whole, num_verdicts))


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two pictures uint8 [h w 3], in decibels; infinite for equal ones."""
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def mean_psnr_db(pictures: Iterable[np.ndarray], truths: Iterable[np.ndarray]) -> float:
    """Mean of `psnr_db` over pairs; for a refiner, of scenes that were noised and denoised again."""
    return float(np.mean([psnr_db(picture, truth) for picture, truth in zip(pictures, truths)]))


def format_table(rows: Mapping[str, Scores]) -> str:
    """Markdown: a row a setting, per cent of claims met a column."""
    names = list(ATTRIBUTES)
    lines = ["| | " + " | ".join([*names, "everything"]) + " |", "| --- |" + " ---: |" * (len(names) + 1)]
    for title, scores in rows.items():
        shares = [scores.attributes[name].share for name in names] + [scores.whole.share]
        lines.append(f"| {title} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")
    return "\n".join(lines)
