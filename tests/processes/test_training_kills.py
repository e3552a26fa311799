"""A training run whose process is killed at random moments goes on to the weights of an uninterrupted one.

Equal means bit-equal: same machine, same number of threads, CPU.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from engine.training.checkpoints import newest_state
from engine.training.config.resolve import resolve
from engine.training.recipe import TrainingRecipe
from tests.training.tiny_recipes import CLASS_RECIPE, run

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[2]
MANY_STEPS = 60
STARTED_BY_S = 120


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(ROOT / "main.py"), "train", *arguments, "--run", str(folder)]
    environment = {**os.environ, "ATELIER_SYSTEM_PYTHON": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder.parent
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def recipe_file(folder: Path, steps: int = MANY_STEPS) -> Path:
    path = folder / "small.yaml"
    trainer = {"max_steps": steps, "log_every": 1, "checkpoint_every": 4, "accelerator": "cpu"}
    path.write_text(yaml.safe_dump({**CLASS_RECIPE, "trainer": trainer}))
    return path


def kill_after(process: subprocess.Popen[str], metrics: Path, num_lines: int, delay_s: float) -> None:
    """Kill once this many more steps have been noted, and a moment later."""
    before = len(metrics.read_text().splitlines()) if metrics.exists() else 0
    deadline = time.monotonic() + STARTED_BY_S
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and len(metrics.read_text().splitlines()) >= before + num_lines:
            break
        time.sleep(0.005)
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize(
    ("num_kills", "steps"),
    [pytest.param(2, 24, marks=pytest.mark.slow), pytest.param(5, MANY_STEPS, marks=pytest.mark.thorough)],
)
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_run_killed_at_random_moments_ends_at_the_weights_of_an_uninterrupted_one(
    num_kills: int, steps: int, tmp_path: Path
) -> None:
    recipe = recipe_file(tmp_path, steps)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # The uninterrupted run needs no process of its own: children have one thread, and so has this test.
    run(whole, resolve(TrainingRecipe, yaml.safe_load(recipe.read_text())))
    moments = random.Random(num_kills)
    for _ in range(num_kills):
        process = start(killed, str(recipe), "--resume")
        kill_after(process, killed / "metrics.jsonl", moments.randint(0, steps // num_kills), moments.uniform(0, 0.05))
    output = finish(start(killed, "--resume"))
    assert f"step {steps}, finished" in output
    one, two = newest_state(whole / "checkpoints"), newest_state(killed / "checkpoints")
    assert one.step == two.step == steps
    for name, weight in one.weights.items():
        assert torch.equal(weight, two.weights[name]), name
        assert torch.equal(one.ema[name], two.ema[name]), name
    assert list((killed / "checkpoints").glob(".*.partial")) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM")
def test_a_run_that_is_asked_to_end_saves_its_step_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, str(recipe_file(tmp_path)), "trainer.max_steps=100000", "trainer.checkpoint_every=100000")
    deadline = time.monotonic() + STARTED_BY_S
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 3, output
    assert "continue it with --resume" in output
    assert newest_state(folder / "checkpoints").step > 0


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="gloo")
def test_two_devices_share_a_batch_and_get_the_loss_of_one(tmp_path: Path) -> None:
    recipe = str(recipe_file(tmp_path))
    finish(start(tmp_path / "one", recipe, "trainer.max_steps=4"))
    shared = ("trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=2")
    output = finish(start(tmp_path / "two", recipe, "trainer.max_steps=4", *shared))
    assert output.count("finished") == 1
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert newest_state(tmp_path / "two" / "checkpoints").step == 4
