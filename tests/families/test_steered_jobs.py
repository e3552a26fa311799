"""Jobs with controls, adapters, boxes, areas and without, through one batcher: merged where possible, each as alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.worker.batcher import Batcher, Forward
from nodes.conditioning import combine, set_area, set_mask, set_trajectory_range
from nodes.control import apply_control_to_both
from nodes.grounding import place_phrase
from nodes.latent_empty import empty_latent_image
from nodes.sampling import ksampler
from nodes.text import encode_text
from tests.control_files import adapter_file, control_file, gligen_file, picture
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)

TOLERANCE = 1e-5
STEPS = 3
CTX = SimpleNamespace(preview_method="none", warn=pytest.fail, progress=lambda *arguments, **options: None)


class Parts:
    """A model and everything that steers it, opened once."""

    def __init__(self, folder: Path) -> None:
        store = store_on(host_with())
        self.model, self.clip, _ = store.open_checkpoint(shallow_checkpoint(folder))
        self.edges = store.open_control(control_file(folder, name="edges"))
        self.depth = store.open_control(control_file(folder, seed=1, name="depth"))
        self.adapter = store.open_control(adapter_file(folder))
        self.gligen = store.open_grounding(gligen_file(folder))

    def text(self, words: str) -> list[Any]:
        return encode_text(words, self.clip, CTX)

    def boxed(self, words: str, x: int) -> list[Any]:
        return place_phrase(self.text("a lake"), self.clip, self.gligen, words, CTX, 64, 64, x, 0)

    def controlled(self, *uses: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        sides = self.text("a fox"), self.text("")
        for control, *given in uses:
            sides = apply_control_to_both(*sides, control, *given)
        return sides


def half(parts: Parts, words: str, x: int) -> list[Any]:
    return set_area(parts.text(words), 64, 128, x, 0)


JOBS: Mapping[str, Callable[[Parts], tuple[list[Any], list[Any]]]] = {
    "plain": lambda p: (p.text("a fox"), p.text("")),
    "other words": lambda p: (p.text("a red house, oil painting"), p.text("blurry")),
    "edges": lambda p: p.controlled((p.edges, picture(1), 0.9)),
    "edges, weak": lambda p: p.controlled((p.edges, picture(2), 0.3)),
    "edges, at first": lambda p: p.controlled((p.edges, picture(3), 1.0, 0.0, 0.4)),
    "edges and depth": lambda p: p.controlled((p.edges, picture(1), 0.8), (p.depth, picture(4), 0.5)),
    "edges and depth too": lambda p: p.controlled((p.edges, picture(5), 0.2), (p.depth, picture(6), 1.2)),
    "adapter": lambda p: p.controlled((p.adapter, picture(1), 0.7)),
    "adapter too": lambda p: p.controlled((p.adapter, picture(2), 1.0, 0.2, 1.0)),
    "box": lambda p: (p.boxed("a red fox", 0), p.text("")),
    "box elsewhere": lambda p: (p.boxed("a blue house", 64), p.text("")),
    "halves": lambda p: (combine(half(p, "a fox", 0), half(p, "a house", 64)), p.text("")),
    "halves too": lambda p: (combine(half(p, "a tree", 0), half(p, "a car", 64)), p.text("")),
    "a place and a time": lambda p: (
        combine(
            set_mask(p.text("a fox"), torch.eye(16), 1.0, set_cond_area="default"),
            set_trajectory_range(p.text("a lake"), 0.3, 1.0),
        ),
        p.text(""),
    ),
    "half with edges": lambda p: (
        combine(set_area(p.controlled((p.edges, picture(1), 0.6))[0], 64, 128, 0, 0), p.text("a lake")),
        p.text(""),
    ),
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts(tmp_path_factory.mktemp("steered"))


def sampled(parts: Parts, names: list[str]) -> tuple[dict[str, torch.Tensor], list[Forward]]:
    """Latents of jobs run side by side, and the forwards they took."""
    forwards: list[Forward] = []
    found: dict[str, torch.Tensor] = {}
    batcher = Batcher(clock=lambda: 0.0, on_forward=forwards.append)

    def keeping(name: str) -> Callable[[Any], None]:
        return lambda value: found.__setitem__(name, value["samples"])

    def failing(error: BaseException) -> None:
        raise error

    with torch.inference_mode():
        for seed, name in enumerate(JOBS):
            if name in names:
                positive, negative = JOBS[name](parts)
                flow = ksampler(
                    model=parts.model, seed=seed, steps=STEPS, cfg=4.0, sampler_name="euler", scheduler="normal",
                    positive=positive, negative=negative, latent_image=empty_latent_image(128, 128), ctx=CTX,
                )  # fmt: skip
                batcher.submit(name, flow, keeping(name), failing)
        while batcher.step():
            pass
    return found, forwards


@pytest.fixture(scope="module")
def together(parts: Parts) -> tuple[dict[str, torch.Tensor], list[Forward]]:
    return sampled(parts, list(JOBS))


@pytest.mark.parametrize("name", JOBS)
def test_a_job_among_others_gives_the_latent_it_gives_alone(
    parts: Parts, together: tuple[dict[str, torch.Tensor], list[Forward]], name: str
) -> None:
    alone = sampled(parts, [name])[0][name]
    assert float((together[0][name] - alone).norm() / alone.norm()) < TOLERANCE


def test_jobs_of_the_same_networks_share_forwards_and_no_others_do(
    together: tuple[dict[str, torch.Tensor], list[Forward]],
) -> None:
    companies = Counter(frozenset(forward.jobs) for forward in together[1])
    chains = {"edges and depth", "edges and depth too"}
    steered = {"edges", "edges, weak", "edges, at first"}
    assert companies[frozenset(chains)] == STEPS
    assert companies[frozenset({"box", "box elsewhere"})] == STEPS
    assert any(steered <= company for company in companies)
    # A control whose time is over costs nothing: its job goes on in the forwards of those without.
    assert any({"plain", "other words", "edges, at first"} <= company for company in companies)
    assert any({"plain", "adapter too"} <= company for company in companies)
    assert any({"adapter", "adapter too"} <= company for company in companies)
    assert all(not (chains & company and company - chains) for company in companies)


def test_every_steered_job_differs_from_the_plain_one(
    together: tuple[dict[str, torch.Tensor], list[Forward]],
) -> None:
    latents = list(together[0].values())
    for number, latent in enumerate(latents):
        for other in latents[number + 1 :]:
            assert float((latent - other).norm() / other.norm()) > 1e-2
