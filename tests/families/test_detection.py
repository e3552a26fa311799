"""Recognising checkpoints by the keys and shapes of published files; no tensor is made."""

from __future__ import annotations

import gzip
import json
import textwrap
from pathlib import Path

import pytest

from engine.core.errors import CheckpointError
from engine.families.registry import find_families
from engine.families.sd1.config import Sd1Config
from tests.untrained_sd1 import untrained_shapes

LAYOUTS = Path(__file__).parents[1] / "data" / "layouts"
Shapes = dict[str, tuple[int, ...]]


def layout(name: str) -> Shapes:
    path = LAYOUTS / f"{name}.json.gz"
    text = gzip.decompress(path.read_bytes()) if path.exists() else (LAYOUTS / f"{name}.json").read_bytes()
    return {key: tuple(shape) for key, (_, shape) in json.loads(text)["tensors"].items()}


def detect(shapes: Shapes):
    return find_families().detect("file.safetensors", shapes)


@pytest.mark.parametrize(("name", "in_channels"), [("sd15", 4), ("sd15-inpainting", 9), ("sd14-full-ema", 4)])
def test_published_files_are_recognised_and_measured(name: str, in_channels: int) -> None:
    match = detect(layout(name))
    config = match.config
    assert match.family == "sd1"
    assert isinstance(config, Sd1Config)
    assert config.unet.in_channels == in_channels
    assert config.unet.model_channels == 320
    assert config.unet.channel_mult == (1, 2, 4, 4)
    assert config.unet.num_res_blocks == 2
    assert config.unet.transformer_depth == (1, 1, 1, 0)
    assert config.unet.context_width == 768
    assert config.text is not None
    assert (config.text.width, config.text.num_layers, config.text.num_heads) == (768, 12, 12)
    assert config.autoencoder is not None
    assert (config.autoencoder.channels, config.autoencoder.latent_channels) == (128, 4)
    assert config.autoencoder.channel_mult == (1, 2, 4, 4)


def test_a_small_file_of_the_same_structure_is_recognised_by_the_same_rules() -> None:
    config = detect(untrained_shapes()).config
    assert config.unet.model_channels == 32
    assert config.unet.context_width == config.text.width == 32


def test_a_network_for_edited_pictures_is_recognised_by_its_eight_channels() -> None:
    shapes = layout("sd15")
    shapes["model.diffusion_model.input_blocks.0.0.weight"] = (320, 8, 3, 3)
    assert "editing" in detect(shapes).description


def test_parts_may_be_missing() -> None:
    shapes = layout("sd15")
    config = detect({key: shape for key, shape in shapes.items() if key.startswith("model.")}).config
    assert config.text is None
    assert config.autoencoder is None


def test_a_bare_network_is_recognised() -> None:
    prefix = "model.diffusion_model."
    shapes = {k.removeprefix(prefix): s for k, s in layout("sd15").items() if k.startswith(prefix)}
    assert detect(shapes).config.unet_prefix == ""


REFUSED = {
    "sd2-depth": "Stable Diffusion 2 depth",
    "sd3-medium": "Stable Diffusion 3 checkpoint",
    "sd35-large": "3.5 large",
    "sd35-medium": "3.5 medium",
    "svd": "Video Diffusion",
    "sv3d-p": "Video Diffusion",
    "ldm-text2img-large": "latent-diffusion",
    "vae-ft-mse": "VAE",
    "vae-kl-diffusers": "VAE",
    "controlnet-sd15": "ControlNet",
    "lora-kohya-sd15": "LoRA",
    "unet-sd15-diffusers": "diffusers",
    "clip-l": "text encoder",
    "realesrgan-x4plus": "tensors under",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_published_files_are_refused_by_name(name: str) -> None:
    with pytest.raises(CheckpointError, match=REFUSED[name]) as caught:
        detect(layout(name))
    assert caught.value.code == "unknown_checkpoint"
    assert "sd1" in caught.value.hint


OPENED = {
    "sd15": "sd1", "sd15-inpainting": "sd1", "sd14-full-ema": "sd1", "controlnet-sd15-full": "sd1",
    "sd21-768-v": "sd2", "sd2-inpainting": "sd2", "sd-turbo": "sd2",
    "sd21-unclip-h": "sd2_unclip", "sd21-unclip-l": "sd2_unclip",
    "x4-upscaler-ema": "sd2_upscaler",
    "sdxl-base-1.0": "sdxl", "sdxl-refiner-1.0": "sdxl_refiner",
}  # fmt: skip


def test_every_other_layout_is_refused_with_a_sentence() -> None:
    registry = find_families()
    names = {path.name.split(".json")[0] for path in LAYOUTS.glob("*.json*")} - {"aliases", "checksums"}
    for name in sorted(names - set(OPENED)):
        with pytest.raises(CheckpointError, match="it looks like"):
            registry.detect(name, layout(name))
    for name, family in OPENED.items():
        assert registry.detect(name, layout(name)).family == family


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(CheckpointError, match="an empty file"):
        detect({})


TOY = """
    from engine.families.contract import FamilyMatch, OpenedCheckpoint
    {extra}

    class Toy:
        name = "toy"

        def detect(self, shapes):
            return FamilyMatch("toy", None, "a toy") if "toy.weight" in shapes else None

        def open(self, checkpoint, match, services):
            return OpenedCheckpoint("toy", checkpoint.tensor("toy.weight").sum().item() * FACTOR, None, None)

    def family():
        return Toy()
"""


def drop_in(folder: Path, name: str = "toy", extra: str = "FACTOR = 1") -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "family.py").write_text(textwrap.dedent(TOY.format(extra=extra)))
    return folder


def test_a_family_folder_dropped_in_is_found_and_opens_its_files(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from engine.families.model_store import ModelStore
    from tests.tiny_sd1 import host_with

    folder = drop_in(tmp_path / "families", extra="from .sizes import FACTOR")
    (folder / "toy" / "sizes.py").write_text("FACTOR = 10\n")
    host = host_with()
    hosts = {"network": host, "text_encoder": host, "vae": host}
    path = tmp_path / "a.safetensors"
    save_file({"toy.weight": torch.ones(3)}, path)
    store = ModelStore(hosts, find_families([folder]))  # type: ignore[arg-type]
    assert store.open_checkpoint(path) == (30, None, None)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        ModelStore(hosts, find_families()).open_checkpoint(path)  # type: ignore[arg-type]


def test_two_families_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="already is a family"):
        find_families([drop_in(tmp_path / "one"), drop_in(tmp_path / "two")])


def test_a_file_that_two_families_claim_is_refused(tmp_path: Path) -> None:
    folder = drop_in(tmp_path / "families")
    text = (folder / "toy" / "family.py").read_text().replace('"toy"', '"other"')
    (folder / "other").mkdir()
    (folder / "other" / "family.py").write_text(text)
    with pytest.raises(CheckpointError, match="other and toy"):
        find_families([folder]).detect("a", {"toy.weight": (1,)})
