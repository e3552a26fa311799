"""Every loader of models with files that are not quite what it opens: a typed error that names the file, or a handle.

The files have the headers of real ones with something changed, and data that are a hole on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from engine.core.errors import AtelierError, CheckpointError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.families.model_store import ModelStore
from engine.families.odd_sizes import refusing_odd_sizes
from engine.families.registry import find_families
from engine.memory.precision import Part
from engine.weights.checkpoint import TORCH_DTYPES
from engine.weights.header import DTYPE_BYTES
from tests.tiny_families import layout
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on
from tests.untrained_sd1 import untrained_shapes

Header = dict[str, tuple[str, tuple[int, ...]]]

LOADERS: Mapping[str, tuple[str, Callable[[ModelStore, Path], object]]] = {
    "checkpoint": ("sd1", ModelStore.open_checkpoint),
    "unCLIP checkpoint": ("sd1", ModelStore.open_unclip_checkpoint),
    "network": ("sd1", ModelStore.open_diffusion_model),
    "text encoder": ("clip-l", lambda store, path: store.open_text_encoders([path])),
    "two text encoders": ("clip-l", lambda store, path: store.open_text_encoders([path, path])),
    "autoencoder": ("vae-ft-mse", ModelStore.open_vae),
    "tiny autoencoder": ("taesd-decoder", lambda store, path: store.open_taesd(path, path)),
    "preview decoder": ("taesd-decoder", ModelStore.open_preview_decoder),
    "image encoder": ("clip-vision-vit-l", ModelStore.open_clip_vision),
    "style model": ("t2i-adapter-sd15-style", ModelStore.open_style_model),
    "control": ("t2i-adapter-sd15-canny", ModelStore.open_control),
    "grounding": ("gligen-sd14-textbox", ModelStore.open_grounding),
    "hypernetwork": ("hypernetwork-sd15", ModelStore.open_hypernetwork),
    "upscaler": ("realesr-general-x4v3", ModelStore.open_upscaler),
    "adapter": ("lora-kohya-sd15", ModelStore.open_adapter),
    "identity": ("clip-vision-vit-l", ModelStore.open_photomaker),
    "safety checker": ("safety-checker-diffusers", ModelStore.open_safety_checker),
    "description": ("sd1", ModelStore.describe),
}
"""What is loaded → the header changes start from, and the call."""
TELLING: Mapping[str, tuple[str, ...]] = {
    "checkpoint": (
        "model.diffusion_model.input_blocks.0.0.weight",
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
        "first_stage_model.encoder.conv_in.weight",
    ),
    "text encoder": ("text_model.embeddings.token_embedding.weight", "text_model.encoder.layers.0.mlp.fc1.weight"),
    "autoencoder": ("encoder.conv_in.weight", "encoder.down.0.block.0.conv1.weight", "decoder.conv_in.weight"),
    "image encoder": (
        "vision_model.embeddings.patch_embedding.weight",
        "vision_model.embeddings.position_embedding.weight",
        "visual_projection.weight",
    ),
    "upscaler": ("body.0.weight", "body.66.weight"),
    "control": ("conv_in.weight",),
    "grounding": ("position_net.linears.0.weight",),
}
"""Keys whose shapes tell the sizes of the whole."""
STRANGERS = ("clip-l", "taesd-decoder", "embedding-sdxl", "t2i-adapter-sd15-color", "lora-kohya-sd15", "vae-ft-mse")


def header(name: str) -> Header:
    if name == "sd1":
        return {key: ("F16", shape) for key, shape in untrained_shapes().items()}
    return layout(name)


def hollow_file(tensors: Header, path: Path) -> Path:
    """A file of these tensors whose data are a hole."""
    entries, place = {}, 0
    for key, (dtype, shape) in tensors.items():
        stop = place + torch.Size(shape).numel() * DTYPE_BYTES[dtype]
        entries[key] = {"dtype": dtype, "shape": shape, "data_offsets": [place, stop]}
        place = stop
    text = json.dumps(entries).encode()
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + place)
    return path


SHAPES: Mapping[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "without values": lambda shape: (0, *shape[1:]),
    "without columns": lambda shape: (*shape[:-1], 0),
    "a single value": lambda shape: (),
    "of more axes": lambda shape: (*shape, 1, 2),
    "turned": lambda shape: shape[::-1],
    "halved": lambda shape: (shape[0] // 2 if shape else 1, *shape[1:]),
    "doubled": lambda shape: (*shape[:-1], shape[-1] * 2 if shape else 2),
}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from([*SHAPES, "another dtype", "dropped", "renamed", "mixed", "cut", "emptied"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(sorted(DTYPE_BYTES)),
        st.sampled_from(STRANGERS),
    ),
    min_size=1,
    max_size=3,
)
"""What is done, at which fraction of the keys; the dtype and the other file of changes that take one."""


def changed(tensors: Header, change: str, place: float, dtype: str, stranger: str) -> Header:
    """A header with one change."""
    keys = sorted(tensors)
    if change == "mixed":
        return tensors | header(stranger)
    if change == "cut":
        return {key: tensors[key] for key in keys[: int(place * len(keys))]}
    if change == "emptied" or not keys:
        return {}
    key = keys[int(place * len(keys))]
    left = {name: entry for name, entry in tensors.items() if name != key}
    old, shape = tensors[key]
    if change == "dropped":
        return left
    if change == "renamed":
        return left | {f"{key}.other": (old, shape)}
    return left | {key: (dtype, shape) if change == "another dtype" else (old, SHAPES[change](shape))}


def whole_store() -> ModelStore:
    host = host_with()
    return ModelStore(dict.fromkeys(get_args(Part), host), find_families())


def refusal_of(call: Callable[[], object]) -> AtelierError | None:
    """The typed error of a call; others are the test's failure."""
    try:
        call()
    except AtelierError as error:
        return error
    return None


def assert_opened_or_refused(loader: str, changes: Sequence[tuple[str, float, str, str]], folder: Path) -> None:
    base, load = LOADERS[loader]
    tensors = header(base)
    for change in changes:
        tensors = changed(tensors, *change)
    path = hollow_file(tensors, folder / "strange.safetensors")
    refusal = refusal_of(lambda: load(whole_store(), path))
    path.unlink()
    assert refusal is None or ("strange" in refusal.message and refusal.code)


def fuzz(examples: int, **options: Any) -> Callable[[Any], Any]:
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples, deadline=None, suppress_health_check=quiet, **options)


@pytest.mark.parametrize("loader", LOADERS)
@fuzz(3, derandomize=True)
@given(changes=CHANGES)
def test_a_file_that_was_changed_is_opened_or_refused_by_name(loader: str, changes: Any, tmp_path: Path) -> None:
    assert_opened_or_refused(loader, changes, tmp_path)


@pytest.mark.thorough
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("loader", LOADERS)
@fuzz(20)
@given(changes=CHANGES)
def test_files_with_many_changes_are_opened_or_refused_by_name(loader: str, changes: Any, tmp_path: Path) -> None:
    assert_opened_or_refused(loader, changes, tmp_path)


@pytest.mark.parametrize("loader", TELLING)
def test_a_size_no_network_has_is_refused_by_name(loader: str, tmp_path: Path) -> None:
    base, load = LOADERS[loader]
    for key in TELLING[loader]:
        for change in ("a single value", "without values", "without columns"):
            dtype, shape = header(base)[key]
            tensors = header(base) | {key: (dtype, SHAPES[change](shape))}
            path = hollow_file(tensors, tmp_path / "strange.safetensors")
            refusal = refusal_of(lambda path=path: load(whole_store(), path))
            assert refusal is not None
            assert "strange" in refusal.message


@pytest.mark.parametrize("loader", [name for name in LOADERS if name != "description"])
def test_a_loader_names_a_file_without_tensors_and_one_of_something_else(loader: str, tmp_path: Path) -> None:
    for name, tensors in (("empty", {}), ("other", {"something.else": ("F32", (2, 2))})):
        path = hollow_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(CheckpointError, match=rf"{name}\.safetensors"):
            LOADERS[loader][1](whole_store(), path)


def test_a_checkpoint_of_two_families_is_refused_by_what_does_not_belong(tmp_path: Path) -> None:
    both = header("sd1") | {key: entry for key, entry in layout("sdxl-base-1.0").items() if "embedders.1" in key}
    with pytest.raises(CheckpointError, match=r"both\.safetensors") as error:
        store_on(host_with()).open_checkpoint(hollow_file(both, tmp_path / "both.safetensors"))
    assert "embedders.1" in str(error.value.details) + error.value.message


@pytest.mark.parametrize("dtype", sorted(DTYPE_BYTES))
def test_a_weight_of_any_dtype_computes_or_is_refused_by_name(dtype: str, tmp_path: Path) -> None:
    key = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight"
    tensors = load_file(shallow_checkpoint(tmp_path))
    tensors[key] = tensors[key].abs().to(TORCH_DTYPES[dtype])
    save_file(tensors, tmp_path / "odd.safetensors")
    x, inputs = torch.randn(1, 4, 8, 8), ConditionInputs(torch.randn(1, 5, 32))
    found: list[torch.Tensor] = []

    def compute() -> None:
        model = store_on(host_with()).open_checkpoint(tmp_path / "odd.safetensors")[0]
        found.append(model.denoise(x, torch.tensor([2.0]), inputs))

    refusal = refusal_of(compute)
    assert bool(found[0].isfinite().all()) if refusal is None else "odd.safetensors" in refusal.message


def test_memory_that_is_used_up_is_no_fault_of_the_file_that_was_being_opened() -> None:
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"), refusing_odd_sizes(()):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(MemoryError), refusing_odd_sizes(()):
        raise MemoryError
    with pytest.raises(CheckpointError), refusing_odd_sizes(()):
        raise RuntimeError("shape '[0, 4]' is invalid")
