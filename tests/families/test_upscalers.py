"""Upscalers: every published form of file, tiles, and the factor."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from engine.core.errors import CheckpointError, NodeError, OutOfMemory
from engine.families.upscaler.handle import NetworkUpscaler
from engine.families.upscaler.opening import open_upscaler
from engine.memory.device import cpu_device
from engine.memory.network import NetworkHost
from engine.nn.upscaler import CompactUpscaler, CompactUpscalerConfig, DenseUpscaler, DenseUpscalerConfig
from engine.weights.checkpoint import open_checkpoint
from nodes.upscale import load_upscale_model, upscale_with_model

torch.set_num_threads(1)
LAYOUTS = Path(__file__).resolve().parents[1] / "data" / "layouts"
SCALES = {
    "esrgan-x4-old": 4,
    "esrgan-x4-rrdb": 4,
    "realesrgan-x4plus": 4,
    "realesrgan-x4plus-anime-6b": 4,
    "realesrgan-x2plus": 2,
    "realesr-general-x4v3": 4,
}
SMALL_DENSE = DenseUpscalerConfig(8, 2, 4, num_doublings=2)


def host(budget_bytes: int = 1 << 30) -> NetworkHost:
    return NetworkHost(cpu_device(), budget_bytes)


def weights_of(module: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: weight.shape for name, weight in module.state_dict().items()}
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}


def opened(tmp_path: Path, weights: dict[str, torch.Tensor], budget_bytes: int = 1 << 30) -> NetworkUpscaler:
    path = tmp_path / "upscaler.safetensors"
    save_file(weights, path)
    return open_upscaler(open_checkpoint(path), host(budget_bytes), lambda: "digest")


def picture(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.rand((count, height, width, 3), generator=torch.Generator().manual_seed(1))


def applied(module: nn.Module, weights: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    module.load_state_dict(weights)
    with torch.no_grad():
        return module(image.movedim(3, 1)).clamp(0, 1).movedim(1, 3)


@pytest.mark.parametrize("name", SCALES)
def test_a_published_file_is_recognised_with_its_factor_and_every_key_used(name: str, tmp_path: Path) -> None:
    packed = LAYOUTS / f"{name}.json.gz"
    layout = json.loads(gzip.decompress(packed.read_bytes()))
    tensors = {key: torch.zeros(entry[1], dtype=torch.float16) for key, entry in layout["tensors"].items()}
    assert opened(tmp_path, tensors).scale == SCALES[name]


def old_name(name: str) -> str:
    """A key of the dense form with two enlargements in the first published naming."""
    plain = {"conv_first": "model.0", "conv_up1": "model.3", "conv_up2": "model.6", "conv_hr": "model.8"}
    plain |= {"conv_last": "model.10", "conv_body": f"model.1.sub.{SMALL_DENSE.num_blocks}"}
    head, _, tail = name.partition(".")
    if head != "body":
        return f"{plain[head]}.{tail}"
    block, dense, conv, kind = tail.split(".")
    return f"model.1.sub.{block}.{dense.upper()}.{conv}.0.{kind}"


def middle_name(name: str) -> str:
    """A key of the dense form in the naming between the two."""
    for new, old in (("conv_body", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv"), (".rdb", ".RDB")):
        name = name.replace(new, old)
    return name.replace("body.", "RRDB_trunk.") if name.startswith("body.") else name


@pytest.mark.parametrize("rename", [str, old_name, middle_name])
def test_all_namings_of_the_dense_form_give_the_same_picture(rename, tmp_path: Path) -> None:
    weights = weights_of(DenseUpscaler(SMALL_DENSE))
    made = opened(tmp_path, {rename(name): weight for name, weight in weights.items()}).upscale(picture(9, 12))
    assert made.shape == (1, 36, 48, 3)
    assert torch.allclose(made, applied(DenseUpscaler(SMALL_DENSE), weights, picture(9, 12)), atol=1e-6)


def test_the_compact_form_adds_its_detail_to_the_enlarged_picture(tmp_path: Path) -> None:
    config = CompactUpscalerConfig(8, 2, 3)
    weights = weights_of(CompactUpscaler(config))
    weights = {name: weight * 0 if name.startswith("body.6") else weight for name, weight in weights.items()}
    made = opened(tmp_path, weights).upscale(picture(5, 7))
    wanted = functional.interpolate(picture(5, 7).movedim(3, 1), scale_factor=3.0, mode="nearest").movedim(1, 3)
    assert torch.allclose(made, wanted, atol=1e-6)


def test_sides_that_do_not_fill_a_fold_are_padded_and_cut_again(tmp_path: Path) -> None:
    config = DenseUpscalerConfig(8, 1, 4, num_doublings=2, fold=2)
    weights = weights_of(DenseUpscaler(config))
    made = opened(tmp_path, weights).upscale(picture(7, 9))
    assert made.shape == (1, 14, 18, 3)
    padded = functional.pad(picture(7, 9).movedim(3, 1), (0, 1, 0, 1), mode="replicate").movedim(1, 3)
    assert torch.allclose(made, applied(DenseUpscaler(config), weights, padded)[:, :14, :18], atol=1e-6)


def test_a_large_picture_is_made_in_tiles_that_meet_without_a_seam(tmp_path: Path) -> None:
    config = CompactUpscalerConfig(4, 1, 2)
    weights = weights_of(CompactUpscaler(config))
    image = picture(40, 600)
    told: list[tuple[int, int]] = []
    made = opened(tmp_path, weights).upscale(image, lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    # Each output depends on three neighbours at most, so only tiles' cut edges could differ; they are blended away.
    assert torch.allclose(made, applied(CompactUpscaler(config), weights, image), atol=0.05)
    assert torch.allclose(made[:, :, :900], applied(CompactUpscaler(config), weights, image)[:, :, :900], atol=1e-6)


def test_tiles_shrink_until_they_fit_the_memory_and_too_little_is_a_typed_error(tmp_path: Path) -> None:
    config = DenseUpscalerConfig(32, 1, 4, num_doublings=1)
    weights = weights_of(DenseUpscaler(config))
    image = picture(160, 160)
    told: list[int] = []
    opened(tmp_path, weights, 60 << 20).upscale(image, lambda done, total: told.append(total))
    assert set(told) == {4}
    with pytest.raises(OutOfMemory):
        opened(tmp_path, weights, 1 << 20).upscale(image)


def test_other_files_are_refused_by_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a LoRA, not an upscaler"):
        opened(tmp_path, {"lora_unet_mid.lora_up.weight": torch.zeros(1)})
    weights = weights_of(DenseUpscaler(SMALL_DENSE))
    weights.pop("conv_body.bias")
    with pytest.raises(CheckpointError, match="lacks 1 weight"):
        opened(tmp_path, weights)


def test_a_picture_without_colours_is_refused(tmp_path: Path) -> None:
    upscaler = opened(tmp_path, weights_of(CompactUpscaler(CompactUpscalerConfig(4, 1, 2))))
    with pytest.raises(NodeError, match=r"must be \[b h w 3\]"):
        upscaler.upscale(torch.zeros(1, 4, 4, 1))


def test_the_nodes_load_a_file_from_its_folder_and_report_each_tile(tmp_path: Path) -> None:
    class Room:
        """What the two nodes use of a context."""

        def __init__(self) -> None:
            self.models = self
            self.told: list[tuple[float, float]] = []

        def model_path(self, folder: str, name: str) -> Path:
            return tmp_path / folder / name

        def open_upscaler(self, path: Path) -> NetworkUpscaler:
            return open_upscaler(open_checkpoint(path), host(), lambda: "digest")

        def check_cancelled(self) -> None:
            self.told.append((-1, -1))

        def progress(self, value: float, maximum: float) -> None:
            self.told.append((value, maximum))

    (tmp_path / "upscale_models").mkdir()
    weights = weights_of(CompactUpscaler(CompactUpscalerConfig(4, 1, 2)))
    save_file(weights, tmp_path / "upscale_models" / "small.safetensors")
    room = Room()
    model = load_upscale_model("small.safetensors", room)
    assert upscale_with_model(model, picture(8, 8, 2), room).shape == (2, 16, 16, 3)
    assert room.told == [(-1, -1), (1, 2), (-1, -1), (2, 2)]
    with pytest.raises(NodeError, match="no upscale model"):
        upscale_with_model(None, picture(8, 8), room)
