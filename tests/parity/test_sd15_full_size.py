"""A full-size Stable Diffusion 1.5 file (2 GB, half precision): memory, and agreement with diffusers.

Each picture is made in a process of its own, so that the peak of memory is that picture's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.parity.full_size_files import full_size_folder, half_precision_checkpoint

HERE = Path(__file__).parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Result = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def checkpoint(pytestconfig: pytest.Config) -> Path:
    return half_precision_checkpoint(full_size_folder(pytestconfig), "sd15")


def make(who: str, checkpoint: Path, folder: Path) -> Result:
    result = folder / f"{who}.pt"
    command = [sys.executable, str(HERE / "full_size_picture.py"), who, str(checkpoint), str(result)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(result, weights_only=True)


@pytest.fixture(scope="module")
def ours(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return make("engine", checkpoint, tmp_path_factory.mktemp("ours"))


def test_a_picture_is_made_in_less_than_six_gigabytes(ours: Result) -> None:
    assert ours["image"].shape == (1, 256, 256, 3)
    assert bool(ours["image"].isfinite().all())
    assert ours["peak_bytes"] < 6e9


def test_the_latent_is_that_of_diffusers(ours: Result, checkpoint: Path, tmp_path: Path) -> None:
    theirs = make("diffusers", checkpoint, tmp_path)["latent"]
    assert float((ours["latent"] - theirs).norm() / theirs.norm()) < 1e-3
