"""What torch compiles outlives the worker that needed it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.server.worker_process import worker_environment

COMPILING = """
import torch
from torch._dynamo.utils import counters
from engine.nn.edits.compiled import Compiled, compile_to_the_end

network = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.SiLU(), torch.nn.Linear(8, 8))
with torch.inference_mode(), Compiled("inductor").applied(network):
    network(torch.zeros(2, 8))
    compile_to_the_end()
print(counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
"""


@pytest.mark.thorough
def test_what_one_worker_compiled_the_next_one_reads(tmp_path: Path) -> None:
    environment = worker_environment(os.environ, tmp_path)
    command = [sys.executable, "-c", COMPILING]
    told = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    ]
    assert told == [["0", "1"], ["1", "0"]]
    assert any((tmp_path / "compiled").rglob("*.so"))
