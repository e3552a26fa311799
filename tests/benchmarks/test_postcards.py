"""How fast postcards are made and judged, on one core."""

from __future__ import annotations

import time

from engine.training.postcards import caption_of, read, render, scene_at
from tests.benchmarks.conftest import Figures

NUM_SCENES = 60


def test_postcards_are_made_and_judged(figures: Figures) -> None:
    scenes = [scene_at(index) for index in range(NUM_SCENES)]
    for scene in scenes[:12]:
        render(scene)
    start_s = time.process_time()
    pictures = [render(scene) for scene in scenes]
    rendered_s = time.process_time()
    texts = {caption_of(scene_at(index), 1).text for index in range(NUM_SCENES)}
    described_s = time.process_time()
    read(pictures[0])
    warm_s = time.process_time()
    readings = [read(picture) for picture in pictures[:12]]
    read_s = time.process_time()
    assert len(texts) > NUM_SCENES * 0.9
    assert len(readings) == 12
    for what, seconds, wanted in (
        ("one picture of 256 px", (rendered_s - start_s) / NUM_SCENES, "<= 15 ms"),
        ("one scene with its caption", (described_s - rendered_s) / NUM_SCENES, ""),
        ("the judge's first reading", warm_s - described_s, ""),
        ("one more reading", (read_s - warm_s) / 12, ""),
    ):
        figures.add("postcards", what, f"{seconds * 1000:.1f} ms", wanted)
