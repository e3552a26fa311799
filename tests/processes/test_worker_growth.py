"""A worker's process does not grow with the number of sizes it has met: the library's kernels are bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.server.worker_process import worker_environment

MIB = 1 << 20
FORWARDS = """
import psutil, torch
from engine.memory.host_heap import trim_heap
from engine.nn.unet import UNet, UNetConfig

network = UNet(UNetConfig(4, 4, 32, (1, 2), 1, (1, 1), 1, 32)).eval()
for weight in network.parameters():
    torch.nn.init.normal_(weight, 0.0, 0.02)
torch.set_num_threads(1)

def own_bytes():
    trim_heap()
    found = psutil.Process().memory_info()
    return found.rss - getattr(found, "shared", 0)

with torch.inference_mode():
    for width in range(1, 15):
        for cells in (8, 12, 16):
            network(torch.zeros(width, 4, 8, cells), torch.zeros(width), torch.zeros(width, 77, 32))
        if width == 7:
            warm_bytes = own_bytes()
print(own_bytes() - warm_bytes)
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="freed memory is given back by glibc's own call")
def test_new_sizes_and_widths_of_batches_do_not_make_a_worker_grow() -> None:
    # With as many kernels as the library would keep by itself, the second half adds some 80 MiB.
    root = Path(__file__).resolve().parents[2]
    environment = {**worker_environment(os.environ), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FORWARDS]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * MIB


def test_a_worker_bounds_the_kernels_kept_unless_the_user_has_said_how_many() -> None:
    bounds = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256", "LRU_CACHE_CAPACITY": "64"}
    assert worker_environment({}).items() >= bounds.items()
    wider = {**bounds, "LRU_CACHE_CAPACITY": "1024"}
    assert worker_environment({"LRU_CACHE_CAPACITY": "1024"}).items() >= wider.items()
