"""Crops, small versions of pictures, upscalers and preview decoders under training, and their validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from engine.families.upscaler.opening import open_upscaler
from engine.nn.tiny_autoencoder import TinyEncoder
from engine.training.autoencoder.decoder import DecoderRecipe
from engine.training.autoencoder.loss import PictureLossRecipe
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.crops import CropRecipe, crop_of, cut
from engine.training.data.source import OpenContext
from engine.training.data.synthetic import SyntheticField, SyntheticRecipe
from engine.training.degradation import DegradationRecipe, degraded, reduced
from engine.training.first_stage import AutoencoderStageRecipe
from engine.training.network_export import NetworkExportRecipe, export_network
from engine.training.picture_module import PictureModule, psnr
from engine.training.postcards.chance import Chance
from engine.training.preview_decoder import PreviewDecoderRecipe
from engine.training.randomness import StepChance
from engine.training.upscaler import UpscalerRecipe
from engine.training.validation import Validation, ValidationRecipe
from engine.weights.checkpoint import open_checkpoint
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)
CPU = torch.device("cpu")
CONTEXT = BuildContext(Path("."), 3)


def stripes(size: int = 32, count: int = 2) -> Tensor:
    """Sharp slanted stripes, [count 3 size size] in [-1, 1]."""
    rows, columns = torch.arange(size)[:, None], torch.arange(size)[None]
    planes = [((rows * k + columns) % 8 < 4).float() * 1.6 - 0.8 for k in (1, 2, 3)]
    return torch.stack(planes).expand(count, -1, -1, -1).contiguous()


def trained(module: PictureModule, num_steps: int, rate: float = 3e-3) -> PictureModule:
    optimizer = torch.optim.AdamW(module.parameter_sets()[0].parameters, rate)
    for step in range(num_steps):
        batch = module.prepare({"image": stripes(), "first_draw": 2 * step})
        optimizer.zero_grad()
        module.loss(batch, 2).backward()
        optimizer.step()
    return module


# ------------------------------------------------------------------ crops


def test_the_crop_of_a_step_is_the_last_that_has_begun() -> None:
    small, large = CropRecipe(8), CropRecipe(16, from_step=10)
    assert [crop_of((large, small), step) for step in (0, 9, 10, 99)] == [small, small, large, large]
    assert crop_of((large,), 9) is None
    assert crop_of((), 0) is None


def test_crops_of_a_small_and_a_large_picture_show_the_same() -> None:
    large = torch.rand(3, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    small = reduced(large, 2, "area")
    chance = StepChance.of_batch(1, 30, 3, 3, CPU)
    low, high = cut([small, large], CropRecipe(8, per_picture=5), chance)
    assert (low.shape, high.shape) == ((15, 3, 8, 8), (15, 3, 16, 16))
    assert torch.allclose(reduced(high, 2, "area"), low, atol=1e-6)
    assert len({tuple(crop.flatten().tolist()) for crop in low[:5]}) > 1


def test_places_of_crops_follow_from_seed_and_step() -> None:
    pictures = torch.rand(2, 3, 40, 40)
    one = cut([pictures], CropRecipe(8), StepChance.of_batch(1, 4, 2, 2, CPU))[0]
    same = cut([pictures], CropRecipe(8), StepChance.of_batch(1, 4, 2, 2, CPU))[0]
    later = cut([pictures], CropRecipe(8), StepChance.of_batch(1, 6, 2, 2, CPU))[0]
    assert torch.equal(one, same)
    assert not torch.equal(one, later)


def test_a_crop_larger_than_its_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 pixels do not fit into pictures of 8x20"):
        cut([torch.zeros(1, 3, 8, 20)], CropRecipe(16), StepChance.of_batch(0, 0, 1, 1, CPU))


# ------------------------------------------------------------------ small versions


def small(recipe: DegradationRecipe, number: int = 0) -> Tensor:
    """The small version of a picture whose three planes are the same waves."""
    waves = torch.linspace(0, 9, 64).sin() / 2 + 0.5
    return degraded((waves[:, None] * waves[None]).expand(3, 64, 64), 2, recipe, Chance("test", number))


def test_small_versions_are_half_as_large_and_within_range() -> None:
    for reduction in ("area", "bicubic", "mixed"):
        found = small(DegradationRecipe(reduction))
        assert found.shape == (3, 32, 32)
        assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_mixed_reduction_is_sometimes_one_and_sometimes_the_other() -> None:
    area, bicubic = small(DegradationRecipe("area")), small(DegradationRecipe("bicubic"))
    drawn = [small(DegradationRecipe("mixed"), number) for number in range(20)]
    as_area = [torch.equal(each, area) for each in drawn]
    assert 0 < sum(as_area) < 20
    assert all(is_area or torch.equal(each, bicubic) for each, is_area in zip(drawn, as_area, strict=True))


def test_noise_and_compression_are_light_and_their_own_for_every_example() -> None:
    clean = small(DegradationRecipe("area"))
    for recipe in (DegradationRecipe("area", noise_share=1.0), DegradationRecipe("area", jpeg_share=1.0)):
        first, same, second = small(recipe, 1), small(recipe, 1), small(recipe, 2)
        assert torch.equal(first, same)
        assert not torch.equal(first, second)
        assert 0 < float((first - clean).abs().mean()) < 0.05


# ------------------------------------------------------------------ upscalers


def test_an_untrained_upscaler_enlarges_by_repeating_pixels() -> None:
    module = UpscalerRecipe("upscaler", channels=8, num_convs=1, scale=3).build(CONTEXT)
    pixels = torch.rand(1, 3, 4, 4)
    assert torch.equal(module.network(pixels), pixels.repeat_interleave(3, 2).repeat_interleave(3, 3))


def test_what_a_deep_upscaler_sees_does_not_fade_on_its_way() -> None:
    """Where it does, nothing is learned: the last slopes go to nought, and with them all that flows back."""
    module = UpscalerRecipe("upscaler", channels=32, num_convs=8, scale=2).build(CONTEXT)
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    seen = picture
    with torch.no_grad():
        for layer in list(module.network.body)[:-1]:
            seen = layer(seen)
    assert 0.3 < float(seen.square().mean() / picture.square().mean()) < 3


def test_a_trained_upscaler_is_closer_to_the_truth_than_bicubic_enlargement(tmp_path: Path) -> None:
    recipe = UpscalerRecipe("upscaler", 16, 2, 2, DegradationRecipe("area"), PictureLossRecipe("l2"))
    module = trained(recipe.build(CONTEXT), 80, rate=6e-3)
    found = module.validate({"image": stripes()})
    assert float(found.figures["psnr"].mean()) > float(found.figures["psnr_bicubic"].mean()) + 1
    assert found.pictures.shape == (2, 3, 3, 32, 32)
    path = tmp_path / "up.safetensors"
    export_network(module, NetworkExportRecipe("network", dtype="fp32"), path, {}, [])
    with open_checkpoint(path) as checkpoint:
        upscaler = open_upscaler(checkpoint, host_with(), lambda: "digest")
        halves = reduced(stripes() / 2 + 0.5, 2, "area")
        made = upscaler.upscale(halves.movedim(1, 3)).movedim(3, 1)
    assert upscaler.scale == 2
    assert torch.allclose(made, found.pictures[:, 2], atol=1e-5)


def test_sides_that_are_no_multiples_of_the_factor_are_cut() -> None:
    module = UpscalerRecipe("upscaler", 4, 1, 2).build(CONTEXT)
    batch: dict[str, Any] = {"image": torch.zeros(1, 3, 11, 14), "first_draw": 0}
    prepared = module.prepare(batch)
    assert (prepared["image"].shape, prepared["small"].shape) == ((1, 3, 10, 14), (1, 3, 5, 7))
    assert torch.isfinite(module.loss(prepared, 1))
    assert module.validate(batch).pictures.shape == (1, 3, 3, 10, 14)


def test_crops_of_an_upscaler_count_pixels_of_the_large_picture() -> None:
    module = UpscalerRecipe("upscaler", 4, 1, 2, crops=(CropRecipe(8, per_picture=2),)).build(CONTEXT)
    batch = module.prepare({"image": stripes(), "first_draw": 0})
    assert torch.isfinite(module.loss(batch, 2))
    with pytest.raises(ValueError, match="cannot be made 2 times smaller"):
        UpscalerRecipe("upscaler", crops=(CropRecipe(9),))


def test_data_without_pictures_are_refused_by_name() -> None:
    module = UpscalerRecipe("upscaler", 4, 1, 2).build(CONTEXT)
    with pytest.raises(ConfigError, match="'image'") as caught:
        module.loss(module.prepare({"photo": stripes(), "first_draw": 0}), 2)
    assert "photo" in (caught.value.hint or "")


# ------------------------------------------------------------------ decoders


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shallow_checkpoint(tmp_path_factory.mktemp("shallow"))


def test_a_decoder_learns_on_and_its_encoder_stays_as_it_is(checkpoint: Path) -> None:
    start = AutoencoderStageRecipe("autoencoder", checkpoint)
    module = DecoderRecipe("decoder", start, latent_noise=0.05, crops=(CropRecipe(16, per_picture=2),)).build(CONTEXT)
    before = {name: weight.clone() for name, weight in module.exported().items()}
    first = module.validate({"image": stripes()}).figures["psnr"].mean()
    after = trained(module, 20).validate({"image": stripes()}).figures["psnr"].mean()
    assert float(after) > float(first) + 0.5
    changed = {name for name, weight in module.exported().items() if not torch.equal(weight, before[name])}
    assert changed == {name.removeprefix("network.") for name in module.trained_parameters()}
    assert {name.split(".")[0] for name in changed} == {"decoder", "post_quant_conv"}


# ------------------------------------------------------------------ preview decoders


def decoder(checkpoint: Path, **changes: Any) -> PictureModule:
    teacher = AutoencoderStageRecipe("autoencoder", checkpoint)
    return PreviewDecoderRecipe(**{"kind": "preview_decoder", "teacher": teacher, "width": 8, **changes}).build(CONTEXT)


def test_a_preview_decoder_learns_its_teachers_pictures_and_leaves_the_teacher_alone(checkpoint: Path) -> None:
    module = decoder(checkpoint)
    teacher = {name: weight.clone() for name, weight in module.teacher.state_dict().items()}
    before = module.validate({"image": stripes()}).figures["psnr"].mean()
    after = trained(module, 30).validate({"image": stripes()}).figures["psnr"].mean()
    assert float(after) > float(before) + 3
    assert all(torch.equal(weight, teacher[name]) for name, weight in module.teacher.state_dict().items())
    assert all(name.startswith("network.") for name in module.trained_parameters())


def test_a_narrow_preview_decoder_opens_as_the_decoder_of_a_tiny_pair(checkpoint: Path, tmp_path: Path) -> None:
    module = trained(decoder(checkpoint, width=16), 3)
    path = tmp_path / "taesd_decoder.safetensors"
    export_network(module, NetworkExportRecipe("network", dtype="fp32"), path, {}, [])
    torch.manual_seed(0)
    encoder = {name: torch.randn(weight.shape) * 0.1 for name, weight in TinyEncoder(4).state_dict().items()}
    save_file(encoder, tmp_path / "taesd_encoder.safetensors")
    tiny = store_on(host_with()).open_taesd(tmp_path / "taesd_encoder.safetensors", path)
    latent = torch.randn(1, 4, 4, 6)
    with torch.no_grad():
        wanted = module.network(latent).clamp(0, 1).movedim(1, 3)
    assert torch.allclose(tiny.decode(latent / 0.18215), wanted, atol=1e-5)
    (tmp_path / "taesd_encoder.safetensors").unlink()
    alone = store_on(host_with()).open_preview_decoder(path)
    assert (alone.latent_channels, alone.width) == (4, 16)
    assert torch.allclose(alone.picture(latent), wanted[0], atol=1e-5)
    assert alone.picture(torch.randn(1, 4, 32, 128)).shape == (128, 512, 3)


def test_a_published_width_and_four_channels_fit_into_two_and_a_half_megabytes(
    checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "taesd_decoder.safetensors"
    export_network(decoder(checkpoint, width=64), NetworkExportRecipe("network"), path, {}, [])
    assert path.stat().st_size <= 2_500_000


# ------------------------------------------------------------------ validation


def test_psnr_is_that_of_pixels_between_nought_and_one() -> None:
    true = torch.zeros(2, 3, 4, 4)
    made = torch.stack([torch.full((3, 4, 4), 0.1), torch.full((3, 4, 4), -0.5)])
    assert psnr(made, true).tolist() == pytest.approx([20.0, 100.0], abs=1e-4)


def test_validation_looks_at_the_same_pictures_every_time_and_shows_some(tmp_path: Path) -> None:
    field = SyntheticField(key="image", values="pixels", shape=(3, 16, 16))
    recipe = ValidationRecipe(SyntheticRecipe(fields=(field,)), num=5, batch_size=2, num_shown=3)
    opened = [Validation(recipe, OpenContext(tmp_path, seed)) for seed in (1, 2)]
    module = UpscalerRecipe("upscaler", 4, 1, 2).build(CONTEXT).train()
    figures = [each(module, tmp_path / "grid.png") for each in opened]
    assert figures[0] == figures[1]
    assert figures[0].keys() == {"validation_psnr", "validation_psnr_bicubic"}
    assert module.training
    assert [len(batch["image"]) for batch in opened[0].batches()] == [2, 2, 1]
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (6 * 16, 2 * 16)
