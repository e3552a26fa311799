"""The dtype flags of start scripts, from the command line to a model that samples: what they hold and compute in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.diffusion.requests import drive
from engine.families.model_store import ModelStore, model_store_from_settings
from engine.memory.network import NetworkHost
from engine.memory.precision import PrecisionPolicy, rounded
from engine.memory.residency import Placement
from nodes.sampling import ksampler
from tests.tiny_sd1 import host_with, store_on, tiny_checkpoint

torch.set_num_threads(1)
UNET = "model.diffusion_model."
FLAGS: dict[str, tuple[str, str, str]] = {
    "--fp32-unet": ("network", "float32", "float32"),
    "--fp64-unet": ("network", "float64", "float64"),
    "--fp16-unet": ("network", "float16", "float16"),
    "--bf16-unet": ("network", "bfloat16", "bfloat16"),
    "--fp8_e4m3fn-unet": ("network", "float32", "float8_e4m3fn"),
    "--fp8_e5m2-unet": ("network", "float32", "float8_e5m2"),
    "--fp8_e8m0fnu-unet": ("network", "float32", "float8_e8m0fnu"),
    "--fp16-vae": ("vae", "float16", "float16"),
    "--fp32-vae": ("vae", "float32", "float32"),
    "--bf16-vae": ("vae", "bfloat16", "bfloat16"),
    "--cpu-vae": ("vae", "float32", "float32"),
    "--fp8_e4m3fn-text-enc": ("text_encoder", "float32", "float8_e4m3fn"),
    "--fp8_e5m2-text-enc": ("text_encoder", "float32", "float8_e5m2"),
    "--fp16-text-enc": ("text_encoder", "float16", "float16"),
    "--fp32-text-enc": ("text_encoder", "float32", "float32"),
    "--bf16-text-enc": ("text_encoder", "bfloat16", "bfloat16"),
    "--force-fp32": ("network", "float32", "float32"),
    "--force-fp16": ("network", "float16", "float16"),
}
"""Flag → the part it is about, what that computes in on the CPU, what its matrices are held in."""


class Quiet(SimpleNamespace):
    """A context that listens to nothing."""

    preview_method = "none"

    def progress(self, *_: Any) -> None:
        """Nobody watches."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def store_with(folder: Path, flags: Sequence[str]) -> ModelStore:
    parser = FlagParser(prog="main.py serve")
    add_server_flags(parser)
    arguments = ["--cpu", "--base-directory", str(folder), *flags]
    return model_store_from_settings(settings_from_flags(folder, parser.parse_args(arguments), arguments))


def store_in(**dtypes: torch.dtype) -> ModelStore:
    host = host_with()
    return store_on(NetworkHost(host.device, host.budget_bytes, PrecisionPolicy(**dtypes)))  # type: ignore[arg-type]


def sampled(store: ModelStore, path: Path, steps: int = 1) -> torch.Tensor:
    model, clip, _ = store.open_checkpoint(path)
    text = clip.encode("a fox in the snow")
    words = [[text.context, {"pooled_output": text.pooled}]]
    flow = ksampler(
        model=model, seed=3, steps=steps, cfg=7.0, sampler_name="euler", scheduler="normal", positive=words,
        negative=words, latent_image={"samples": torch.zeros(1, 4, 8, 8)}, ctx=Quiet(),
    )  # fmt: skip
    return drive(flow)["samples"]


def relative_error(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left.double() - right.double()).norm() / right.double().norm())


@pytest.mark.parametrize("flag", FLAGS)
def test_a_dtype_flag_reaches_the_loaded_model_and_a_step_is_sampled(flag: str, path: Path, tmp_path: Path) -> None:
    part, compute, storage = FLAGS[flag]
    store = store_with(tmp_path, [flag])
    latent = sampled(store, path)
    model, clip, vae = store.open_checkpoint(path)
    handle = {"network": model, "vae": vae, "text_encoder": clip}[part]
    image = vae.decode(latent[..., :4, :4])
    assert (latent.dtype, image.dtype) == (torch.float32, torch.float32)
    assert bool(latent.isfinite().all())
    assert tuple(image.shape) == (1, 32, 32, 3)
    assert handle.host.dtype_identity(handle.source) == f"torch.{compute}/torch.{storage}"


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_network_held_in_eight_bits_takes_about_a_quarter_of_single_precision(dtype: torch.dtype, path: Path) -> None:
    sizes: dict[torch.dtype, int] = {}
    for held in (dtype, torch.float32):
        store = store_in(network=held)
        sampled(store, path)
        model = store.open_checkpoint(path)[0]
        plan = model.host.plan_of(model.source)
        assert plan is not None
        assert set(plan.placements.values()) == {Placement.RESIDENT}
        sizes[held] = plan.resident_bytes
    parameters = {key: tensor for key, tensor in load_file(path).items() if key.startswith(UNET)}
    wide = sum(tensor.numel() * 4 for tensor in parameters.values())
    narrow = sum(tensor.numel() * (1 if tensor.ndim > 1 else 4) for tensor in parameters.values())
    assert sizes == {dtype: narrow, torch.float32: wide}
    assert narrow < 0.27 * wide


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu])
def test_a_network_held_in_eight_bits_samples_what_a_rounded_file_does(
    dtype: torch.dtype, path: Path, tmp_path: Path
) -> None:
    tensors = load_file(path)
    for key, tensor in tensors.items():
        if key.startswith(UNET) and tensor.ndim > 1:
            tensors[key] = rounded(tensor, dtype).bfloat16()
    save_file(tensors, tmp_path / "rounded.safetensors")
    held = sampled(store_in(network=dtype), path)
    wanted = sampled(store_in(), tmp_path / "rounded.safetensors")
    # Kernels are packed for weights that are held as they are computed with, and packed ones round differently.
    assert relative_error(held, wanted) < 1e-5
    assert relative_error(held, sampled(store_in(), path)) > 1e-3


def test_a_text_encoder_held_in_eight_bits_encodes_what_a_rounded_file_does(path: Path, tmp_path: Path) -> None:
    tensors = load_file(path)
    for key, tensor in tensors.items():
        if key.startswith("cond_stage_model.") and tensor.ndim > 1 and "embedding" not in key:
            tensors[key] = rounded(tensor, torch.float8_e4m3fn).bfloat16()
    save_file(tensors, tmp_path / "rounded.safetensors")
    clip = store_in(text_encoder=torch.float8_e4m3fn).open_checkpoint(path)[1]
    wanted = store_in().open_checkpoint(tmp_path / "rounded.safetensors")[1]
    assert torch.equal(clip.encode("a fox").context, wanted.encode("a fox").context)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_file_stored_in_eight_bits_samples_the_same_whatever_the_flags(
    dtype: torch.dtype, path: Path, tmp_path: Path
) -> None:
    tensors = {key: tensor.to(dtype) if tensor.ndim > 1 else tensor for key, tensor in load_file(path).items()}
    save_file(tensors, tmp_path / "eight.safetensors")
    wide = {key: tensor.bfloat16() if tensor.dtype == dtype else tensor for key, tensor in tensors.items()}
    save_file(wide, tmp_path / "wide.safetensors")
    wanted = sampled(store_in(), tmp_path / "wide.safetensors")
    for held in (None, dtype, torch.float32):
        store = store_in() if held is None else store_in(network=held, text_encoder=held)
        assert relative_error(sampled(store, tmp_path / "eight.safetensors"), wanted) < 1e-5
    doubled = sampled(store_in(network=torch.float64), tmp_path / "eight.safetensors")
    assert relative_error(doubled, wanted) < 1e-5


def test_a_file_stored_in_eight_bits_throughout_opens_encodes_and_decodes(path: Path, tmp_path: Path) -> None:
    save_file(
        {key: tensor.to(torch.float8_e4m3fn) for key, tensor in load_file(path).items()}, tmp_path / "all.safetensors"
    )
    store = store_in()
    image = store.open_checkpoint(tmp_path / "all.safetensors")[2].decode(sampled(store, tmp_path / "all.safetensors"))
    assert bool(image.isfinite().all())


def test_double_precision_agrees_with_single_precision(path: Path) -> None:
    double = sampled(store_in(network=torch.float64), path, steps=2)
    assert relative_error(double, sampled(store_in(), path, steps=2)) < 1e-5


def test_a_model_in_double_precision_holds_eight_bytes_a_weight(path: Path) -> None:
    store = store_in(network=torch.float64)
    sampled(store, path)
    model = store.open_checkpoint(path)[0]
    count = sum(tensor.numel() for key, tensor in load_file(path).items() if key.startswith(UNET))
    plan = model.host.plan_of(model.source)
    assert plan is not None
    assert plan.resident_bytes == 8 * count


def test_models_held_differently_are_never_merged_into_one_forward(path: Path) -> None:
    stores = (store_in(), store_in(network=torch.float8_e4m3fn), store_in(network=torch.float8_e5m2))
    assert len({store.open_checkpoint(path)[0].identity for store in stores}) == 3
