"""A full-size Stable Diffusion 1.5 file (2 GB, half precision): memory, and agreement with diffusers.

The file is synthesized once into pytest's cache folder. Each picture is made in a process of its own, so that the peak
of memory is that picture's.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
SYNTHESIZE = HERE.parent / "data" / "layouts" / "synthesize.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Result = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def checkpoint(pytestconfig: pytest.Config) -> Path:
    path = pytestconfig.cache.mkdir("full-size-checkpoints") / "sd15_s0_fp16.safetensors"
    if not path.exists():
        spec = importlib.util.spec_from_file_location("synthesize", SYNTHESIZE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        layout = module.load_layout("sd15")
        partial = path.with_suffix(f".{os.getpid()}")
        module.write_safetensors(str(partial), layout, module.select(layout, "F16", None, None), 0, None)
        partial.replace(path)
    return path


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
