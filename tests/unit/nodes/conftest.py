from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from node_context import KeepingContext

PICTURES = Path(__file__).parents[2] / "data" / "images"
torch.set_num_threads(1)


@pytest.fixture
def ctx() -> KeepingContext:
    return KeepingContext(PICTURES)


@pytest.fixture
def pictures() -> Path:
    return PICTURES
