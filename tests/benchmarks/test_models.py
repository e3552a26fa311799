"""What models cost: loading, a step, a decode, memory; beside diffusers if asked for; queued jobs; a tight budget.

`main.py bench -k models --model sd15 --size 512 --against diffusers` is the comparison; sides are separate processes
that take turns (A B A B), so that a machine that grows warm or busy is unfair to both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import parse_conditioning
from engine.diffusion.discretization.registry import discretize
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.latent import parse_latent
from engine.diffusion.requests import Flow, drive
from engine.diffusion.samplers.registry import find_sampler
from engine.diffusion.sampling import sample
from engine.families.model_store import ModelStore
from engine.families.registry import find_families
from engine.memory.device import cpu_device
from engine.memory.network import NetworkHost
from engine.server.worker_process import worker_environment
from engine.worker.batcher import Batcher, Forward
from tests.benchmarks.conftest import Figures
from tests.figures import with_spread
from tests.parity.full_size_files import full_size_folder, golden_checkpoint, half_precision_checkpoint
from tests.separate_device import SeparateDevice

ROOT = Path(__file__).resolve().parents[2]
STARTER = ROOT / "models" / "checkpoints" / "starter.safetensors"
SIDE = Path(__file__).with_name("model_side.py")
BUDGET_SHARE = 0.35
TOLERANCE = 1e-3
SAMPLERS = ("euler", "heun", "dpmpp_2m", "ddim")

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def checkpoint(pytestconfig: pytest.Config) -> Path:
    name = pytestconfig.getoption("--model", default="starter")
    if name == "starter":
        return STARTER
    if name == "sd15":
        return golden_checkpoint(full_size_folder(pytestconfig))
    if name == "sdxl":
        return half_precision_checkpoint(full_size_folder(pytestconfig), "sdxl-base-1.0")
    return Path(name)


@pytest.fixture(scope="module")
def sizes(pytestconfig: pytest.Config) -> list[int]:
    return pytestconfig.getoption("--size", default=None) or [256]


def opened(checkpoint: Path, host: NetworkHost) -> tuple[Any, Any, Any]:
    parts = dict.fromkeys(("network", "text_encoder", "vae", "upscaler"), host)
    return ModelStore(parts, find_families()).open_checkpoint(checkpoint)  # type: ignore[arg-type]


def measured(side: str, source: Path, folder: Path, size: int, steps: int) -> Mapping[str, Any]:
    result = folder / "result.json"
    command = [sys.executable, str(SIDE), side, str(source), str(result), str(size), str(steps)]
    environment = worker_environment(os.environ) if side == "atelier" else os.environ
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment)
    return json.loads(result.read_text(encoding="utf-8"))


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def test_loading_a_step_a_decode_and_memory(
    checkpoint: Path, sizes: list[int], tmp_path: Path, pytestconfig: pytest.Config, figures: Figures
) -> None:
    sources = {"atelier": checkpoint}
    if pytestconfig.getoption("--against", default=None) == "diffusers":
        model, _, vae = opened(checkpoint, NetworkHost(cpu_device(), 1 << 34))
        store = ModelStore({}, find_families())
        sources["diffusers"] = tmp_path / "diffusers"
        store.diffusers_export(model, None, vae).write(sources["diffusers"])
    steps = pytestconfig.getoption("--steps", default=4)
    for size in sizes:
        found: dict[str, list[Mapping[str, Any]]] = {side: [] for side in sources}
        for side, source in [*sources.items()] * 2:
            found[side].append(measured(side, source, tmp_path, size, steps))
        note(figures, f"{checkpoint.stem}, {size} px", found)


def note(figures: Figures, topic: str, found: Mapping[str, list[Mapping[str, Any]]]) -> None:
    """Medians with their spread, and how they stand to the other side's."""
    for key, what, wanted in (
        ("step_s", "a step, two texts", "≤ 0.95x"),
        ("step_processor_s", "a step, processor time", "≤ 0.95x"),
        ("decode_s", "a decode", "≤ 1.00x"),
        ("decode_processor_s", "a decode, processor time", "≤ 1.00x"),
        ("load_s", "load, beyond a step", ""),
    ):
        times = {side: flat([run[key] for run in runs]) for side, runs in found.items()}
        figures.add(topic, what, with_spread(times["atelier"]))
        if "diffusers" in times:
            ratio = middle(times["atelier"]) / middle(times["diffusers"])
            figures.add(topic, f"{what}, diffusers", with_spread(times["diffusers"]))
            figures.add(topic, f"{what}, ratio", f"{ratio:.2f}x", wanted)
    peaks = {side: max(run["peak_bytes"] for run in runs) / (1 << 20) for side, runs in found.items()}
    figures.add(topic, "peak of resident memory", ", ".join(f"{side} {peak:.0f} MiB" for side, peak in peaks.items()))
    if "diffusers" in peaks:
        figures.add(topic, "peak of resident memory, ratio", f"{peaks['atelier'] / peaks['diffusers']:.2f}x", "≤ 0.80x")


def flat(values: list[Any]) -> list[float]:
    return [number for value in values for number in (value if isinstance(value, list) else [value])]


def test_a_file_is_ready_in_the_time_of_reading_and_converting_it_once(
    checkpoint: Path, pytestconfig: pytest.Config, figures: Figures
) -> None:
    """The network's weights, stored in half precision and wanted in single; the file is in the page cache."""
    if pytestconfig.getoption("--model", default="starter") == "sd15":
        checkpoint = half_precision_checkpoint(full_size_folder(pytestconfig), "sd15")
    found: dict[str, list[float]] = {"ready": [], "converted": []}
    for turn in range(3):
        for what, load in (("converted", converted), ("ready", ready)):
            start = time.process_time()
            kept = load(checkpoint)
            if turn:  # the first one brings the file into the page cache
                found[what].append(time.process_time() - start)
            del kept
    ratio = middle(found["ready"]) / middle(found["converted"])
    topic = f"{checkpoint.stem}, {checkpoint.stat().st_size / 1e9:.1f} GB"
    figures.add(topic, "network ready, processor time", with_spread(found["ready"]))
    figures.add(topic, "its bytes read and converted, processor time", with_spread(found["converted"]))
    figures.add(topic, "ready / read and converted", f"{ratio:.2f}x", "≤ 1.30x")


def ready(checkpoint: Path) -> Any:
    host = NetworkHost(cpu_device(), 1 << 34)
    model, _, _ = opened(checkpoint, host)
    host.run(model.source, lambda network: None)
    return host


def converted(checkpoint: Path) -> list[torch.Tensor]:
    with safe_open(checkpoint, "pt") as file:
        names = [name for name in file.keys() if name.startswith("model.diffusion_model.")]  # noqa: SIM118
        return [file.get_tensor(name).to(torch.float32, copy=True) for name in names]


def picture(model: Any, clip: Any, number: int, side: int) -> Flow[torch.Tensor]:
    """A job of its own prompt, seed, number of steps and sampler."""
    positive, negative = (
        parse_conditioning([[found.context, {} if found.pooled is None else {"pooled_output": found.pooled}]])
        for found in (clip.encode(f"picture number {number}"), clip.encode(""))
    )
    sigmas = discretize("normal", model.parameterization.sigma_table, 4 + number % 3)
    latent = parse_latent({"samples": torch.zeros(1, 4, side // 8, side // 8)})
    sampler = find_sampler(SAMPLERS[number % len(SAMPLERS)])
    return sample(Cfg(model, positive, negative, 3.0), sampler, sigmas, latent, seed=number)


def test_queued_jobs_together_and_one_by_one(
    checkpoint: Path, sizes: list[int], pytestconfig: pytest.Config, figures: Figures
) -> None:
    model, clip, _ = opened(checkpoint, NetworkHost(cpu_device(), 1 << 34))
    num_jobs = pytestconfig.getoption("--jobs", default=8)
    with torch.inference_mode():
        drive(picture(model, clip, 0, sizes[0]))
        start, worked = time.perf_counter(), time.process_time()
        alone = [drive(picture(model, clip, number, sizes[0])) for number in range(num_jobs)]
        alone_s, alone_processor_s = time.perf_counter() - start, time.process_time() - worked
        together: dict[int, torch.Tensor] = {}
        forwards: list[Forward] = []
        batcher = Batcher(on_forward=forwards.append)
        start, worked = time.perf_counter(), time.process_time()
        for number in range(num_jobs):
            flow = picture(model, clip, number, sizes[0])
            batcher.submit(number, flow, lambda made, number=number: together.update({number: made}), pytest.fail)
        while batcher.step():
            pass
        together_s, together_processor_s = time.perf_counter() - start, time.process_time() - worked
    errors = [float((together[n] - alone[n]).norm() / alone[n].norm()) for n in range(num_jobs)]
    topic = f"{checkpoint.stem}, {sizes[0]} px"
    figures.add(
        topic, f"{num_jobs} queued jobs, pictures a second, together / alone", f"{alone_s / together_s:.2f}x", "≥ 1.80x"
    )
    ratio = alone_processor_s / together_processor_s
    figures.add(topic, f"{num_jobs} queued jobs, processor time, alone / together", f"{ratio:.2f}x", "≥ 1.80x")
    figures.add(topic, "items in a forward", f"{sum(f.num_items for f in forwards) / len(forwards):.1f}")
    figures.add(topic, "relative error of a shared latent", f"{max(errors):.1e}", "≤ 1e-3")
    assert max(errors) <= TOLERANCE


def test_a_network_in_a_third_of_its_memory(checkpoint: Path, sizes: list[int], figures: Figures) -> None:
    device = SeparateDevice("cpu")
    times, plans, bytes_needed = [], [], 1 << 40
    x = torch.randn(2, 4, sizes[0] // 8, sizes[0] // 8, generator=torch.Generator().manual_seed(0))
    for share in (1.0, BUDGET_SHARE):
        host = NetworkHost(device, bytes_needed)
        model, _, _ = opened(checkpoint, host)
        vector_width = model.form.config.vector_width
        inputs = ConditionInputs(
            context=torch.zeros(2, 77, model.context_width),
            vector=None if vector_width is None else torch.zeros(2, vector_width),
        )
        sigma = torch.ones(2)
        weights = sum(layer.kept_bytes for layer in host_layers(host, model))
        activations = model.activation_bytes(2, *x.shape[2:])
        host.budget_bytes = int(weights * share + 2 * activations) if share < 1 else bytes_needed
        with torch.inference_mode():
            for _ in range(2):
                model.denoise(x, sigma, inputs)
            samples = []
            for _ in range(4):
                start = time.perf_counter()
                model.denoise(x, sigma, inputs)
                samples.append(time.perf_counter() - start)
        times.append(samples)
        plans.append(host.plan_of(model.source))
    resident, budgeted = plans
    assert resident is not None
    assert budgeted is not None
    topic = f"{checkpoint.stem}, {sizes[0]} px"
    figures.add(topic, "a step, everything resident", with_spread(times[0]))
    figures.add(topic, f"a step, {BUDGET_SHARE:.0%} of the weights resident", with_spread(times[1]))
    figures.add(topic, "offloaded / resident", f"{middle(times[1]) / middle(times[0]):.2f}x", "≤ 1.25x")
    figures.add(topic, "moved in each step", f"{budgeted.moved_bytes / (1 << 20):.0f} MiB")
    assert resident.moved_bytes == 0
    assert budgeted.moved_bytes > 0


def host_layers(host: NetworkHost, model: Any) -> list[Any]:
    """Sizes of a network's layers, as the host plans them."""
    from engine.memory.binding import BoundNetwork

    with torch.device("meta"):
        module = model.source.build()
    bound = BoundNetwork(module, model.source.weights, host.device, host.compute_dtype(model.source))
    return bound.layer_sizes(model.patches)


def test_the_first_picture_of_a_fresh_start_and_the_same_again(tmp_path: Path, figures: Figures) -> None:
    """The shipped example from the command line to its file: everything cold, then out of the cache on disk."""
    environment = {**os.environ, "ATELIER_SYSTEM_PYTHON": "1"}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "checkpoints").symlink_to(STARTER.parent, target_is_directory=True)
    command = [
        sys.executable, str(ROOT / "main.py"), "run", str(ROOT / "workflows" / "text_to_image.json"), "--json",
        "--base-directory", str(tmp_path),
    ]  # fmt: skip
    times, ran = [], []
    for _ in range(2):
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - start)
        ran.append(json.loads(done.stdout))
    figures.add("first picture", "main.py run, nothing cached", f"{times[0]:.1f} s")
    figures.add("first picture", "the same again in a new process", f"{times[1]:.1f} s")
    figures.add("first picture", "nodes served from the cache then", f"{len(ran[1]['cached'])} of {len(ran[0]['ran'])}")
    assert ran[0]["files"]
    assert len(ran[1]["ran"]) < len(ran[0]["ran"])
