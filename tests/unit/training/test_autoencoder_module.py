"""An autoencoder under training: its loss, its opponent, the scale of its latents, its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.core.errors import CheckpointError
from engine.training.autoencoder.discriminator import DiscriminatorRecipe
from engine.training.autoencoder.latent_scale import LatentStatistics, normalise_latents
from engine.training.autoencoder.loss import AutoencoderLossRecipe, adaptive_weight
from engine.training.autoencoder.module import AutoencoderModule
from engine.training.autoencoder.posterior import GaussianPosterior
from engine.training.autoencoder.recipe import AutoencoderRecipe
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.crops import CropRecipe
from engine.training.network_export import NetworkExportRecipe, export_network
from engine.training.picture_module import psnr
from engine.weights.checkpoint import open_checkpoint
from tests.tiny_sd1 import host_with, store_on

torch.set_num_threads(1)
CONTEXT = BuildContext(Path("."), 7)
OPPONENT = DiscriminatorRecipe(start_step=2, channels=8, num_layers=1, weight=0.5)


def recipe(**changes: Any) -> AutoencoderRecipe:
    sizes = {"channels": 32, "channel_mult": (1, 1), "num_res_blocks": 1, "latent_channels": 4}
    return AutoencoderRecipe(**{"kind": "autoencoder", "has_middle_attention": False, **sizes, **changes})


def drawing(size: int = 16, count: int = 1) -> Tensor:
    """A disc over a gradient, [count 3 size size] in [-1, 1]."""
    rows = torch.linspace(-1, 1, size)
    disc = ((rows[:, None] ** 2 + rows[None] ** 2) < 0.3).float()
    planes = [rows[:, None].expand(size, size) * (1 - disc) + disc * value for value in (0.8, -0.3, 0.1)]
    return torch.stack(planes).expand(count, -1, -1, -1).contiguous()


def batch(first_draw: int = 0, count: int = 1) -> dict[str, Any]:
    return {"image": drawing(count=count), "first_draw": first_draw}


def trained(module: AutoencoderModule, num_steps: int) -> AutoencoderModule:
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3)
    for step in range(num_steps):
        optimizer.zero_grad()
        module.loss(batch(step), 1).backward()
        optimizer.step()
    return module


# ------------------------------------------------------------------ the loss


@pytest.mark.parametrize("codebook_size", [None, 64])
def test_thirty_steps_on_one_picture_bring_its_reconstruction_closer(codebook_size: int | None) -> None:
    module = AutoencoderModule(recipe(codebook_size=codebook_size), CONTEXT)
    before = module.validate(batch()).figures["psnr"]
    after = trained(module, 30).validate(batch()).figures["psnr"]
    assert float(after) > float(before) + 6


def test_the_noise_of_a_latent_is_that_of_seed_and_step() -> None:
    first, same = (AutoencoderModule(recipe(), CONTEXT) for _ in range(2))
    other = AutoencoderModule(recipe(), BuildContext(Path("."), 8))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first.loss(batch(5), 1), same.loss(batch(5), 1))
    assert not torch.equal(first.loss(batch(5), 1), first.loss(batch(6), 1))
    assert not torch.equal(first.loss(batch(5), 1), other.loss(batch(5), 1))


def test_a_step_means_the_same_in_one_batch_and_in_two() -> None:
    module = AutoencoderModule(recipe(crops=(CropRecipe(8, per_picture=2),)), CONTEXT)
    whole = module.loss(batch(8, 4), 4)
    halves = [module.loss(batch(8 + first, 2), 4) for first in (0, 2)]
    assert torch.allclose(whole, sum(halves) / 2, atol=1e-5)


def test_a_wanted_perceptual_distance_without_weights_is_refused_before_training(tmp_path: Path) -> None:
    wanted = recipe(loss=AutoencoderLossRecipe(perceptual_weight=1.0))
    with pytest.raises(CheckpointError, match=r"not at .*lpips") as caught:
        wanted.build(BuildContext(tmp_path, 0))
    assert "perceptual_weight to 0" in (caught.value.hint or "")


@pytest.mark.parametrize(("size", "mult"), [(32, (1, 2, 2)), (128, (1, 2))])
def test_an_autoencoder_that_begins_as_a_mosaic_gives_the_mean_colours_of_cells(
    size: int, mult: tuple[int, ...]
) -> None:
    sizes = recipe(channels=size, channel_mult=mult, first_weights="mosaic", has_middle_attention=True)
    module = AutoencoderModule(sizes, CONTEXT)
    cell = sizes.config.downscale
    pixels = drawing(32, 2) * torch.tensor([1.0, 0.4]).view(2, 1, 1, 1)
    means = torch.nn.functional.avg_pool2d(pixels, cell).repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    made = module.validate({"image": pixels}).pictures[:, 1] * 2 - 1
    assert float((made - means).abs().mean()) < 0.05
    with torch.no_grad():
        assert float(module.encode(pixels).log_variance.mean()) < -4


def test_a_mosaic_of_two_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="three latent_channels"):
        recipe(latent_channels=2, first_weights="mosaic")


def test_crops_are_whole_latent_cells() -> None:
    with pytest.raises(ValueError, match="no whole cells of 4 pixels"):
        recipe(channel_mult=(1, 1, 1), crops=(CropRecipe(18),))


# ------------------------------------------------------------------ the opponent


def gradients(module: AutoencoderModule, part: str) -> list[Tensor]:
    return [p.grad for name, p in module.named_parameters() if name.startswith(part) and p.grad is not None]


def contested(step: int, **changes: Any) -> AutoencoderModule:
    settings = DiscriminatorRecipe(**{"start_step": 2, "channels": 8, "num_layers": 1, "weight": 0.5, **changes})
    module = AutoencoderModule(recipe(loss=AutoencoderLossRecipe(discriminator=settings)), CONTEXT)
    module.loss(batch(step), 1).backward()
    return module


def test_the_discriminator_takes_part_from_its_first_step_on() -> None:
    before, after = contested(1), contested(2)
    assert "discriminator" not in before.measurements
    assert gradients(before, "discriminator.") == []
    assert before.measurements.keys() | {"adversarial", "adversarial_weight", "discriminator"} == (
        after.measurements.keys()
    )
    moved = [name for name, p in after.discriminator.named_parameters() if p.ndim > 1 and p.grad.abs().sum() > 0]
    assert moved == ["main.0.weight", "main.2.weight", "main.5.weight"]


def test_neither_side_learns_from_the_others_loss() -> None:
    plain, weightless = contested(0), contested(2, weight=0.0)
    reference = AutoencoderModule(recipe(), CONTEXT)
    reference.loss(batch(2), 1).backward()
    for found, wanted in zip(gradients(weightless, "network."), gradients(reference, "network."), strict=True):
        assert torch.allclose(found, wanted, atol=1e-7)
    strong, weak = contested(2, weight=3.0), contested(2, weight=0.1)
    for one, two in zip(gradients(strong, "discriminator."), gradients(weak, "discriminator."), strict=True):
        assert torch.allclose(one, two, atol=1e-7)
    assert gradients(plain, "network.") != []


def test_the_adaptive_weight_lets_both_losses_pull_the_last_layer_equally() -> None:
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    reconstruction, adversarial = (weight * torch.tensor([3.0, 4.0])).sum(), (weight * torch.tensor([0.0, 0.5])).sum()
    assert float(adaptive_weight(reconstruction, adversarial, weight, 1e4)) == pytest.approx(10.0, rel=1e-3)
    assert float(adaptive_weight(reconstruction, adversarial, weight, 4.0)) == 4.0


def test_the_adaptive_weight_is_measured_at_the_decoders_last_layer() -> None:
    adaptive, fixed = contested(2, weight=0.5), contested(2, weight=0.5, is_adaptive=False)
    assert float(fixed.measurements["adversarial_weight"]) == 0.5
    assert float(adaptive.measurements["adversarial_weight"]) != 0.5
    assert torch.equal(adaptive.measurements["adversarial"], fixed.measurements["adversarial"])


def test_both_sides_are_sets_of_their_own_with_their_own_rates() -> None:
    module = contested(0, learning_rate_factor=2.5)
    sets = module.parameter_sets()
    assert [parameters.rate_factor for parameters in sets] == [1.0, 2.5]
    assert sum(len(parameters.parameters) for parameters in sets) == len(module.trained_parameters())


# ------------------------------------------------------------------ the scale of latents


def test_statistics_are_those_of_samples_of_the_posterior() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(400, 2, 8, 8, generator=generator) * torch.tensor([2.0, 0.5]).view(2, 1, 1) + 1.5
    log_variance = torch.full_like(mean, 0.3)
    found = LatentStatistics.of(
        [GaussianPosterior(mean[:150], log_variance[:150]), GaussianPosterior(mean[150:], log_variance[150:])]
    )
    drawn = GaussianPosterior(mean, log_variance).sample(torch.randn(mean.shape, generator=generator))
    assert found.num_pictures == 400
    assert found.means == pytest.approx(drawn.mean(dim=(0, 2, 3)).tolist(), abs=0.03)
    assert found.deviations == pytest.approx(drawn.std(dim=(0, 2, 3)).tolist(), rel=0.02)
    assert found.deviation == pytest.approx(float(drawn.std()), rel=0.02)


@pytest.mark.parametrize("codebook_size", [None, 32])
def test_normalised_latents_have_the_wanted_deviation_and_decode_to_the_same_picture(codebook_size: int | None) -> None:
    module = trained(AutoencoderModule(recipe(codebook_size=codebook_size), CONTEXT), 10)
    network, pixels = module.network, drawing(count=2) * torch.tensor([1.0, -0.6]).view(2, 1, 1, 1)
    with torch.no_grad():
        before = network.decode(network.encode(pixels)[:, :4])
        deviation_before = module.encode(pixels).log_variance.mul(0.5).exp()
        statistics = normalise_latents(network, LatentStatistics.of([module.encode(pixels)]), 5.49)
        after = network.decode(network.encode(pixels)[:, :4])
        measured = LatentStatistics.of([module.encode(pixels)])
    assert torch.allclose(after, before, atol=2e-4)
    assert measured.means == pytest.approx((0.0,) * 4, abs=1e-3)
    assert measured.deviations == pytest.approx(statistics.deviations, rel=1e-3)
    if codebook_size is None:
        assert measured.deviations == pytest.approx((5.49,) * 4, rel=1e-3)
        assert bool((module.encode(pixels).log_variance.mul(0.5).exp() > deviation_before).all())


def test_latents_without_convolutions_around_them_keep_their_scale() -> None:
    module = AutoencoderModule(recipe(has_quant_convs=False), CONTEXT)
    with pytest.raises(ConfigError, match="quant_conv"):
        normalise_latents(module.network, LatentStatistics.of([module.encode(drawing())]), 1.0)


# ------------------------------------------------------------------ the file


@pytest.mark.parametrize("codebook_size", [None, 32])
def test_an_exported_autoencoder_opens_as_a_vae_file(codebook_size: int | None, tmp_path: Path) -> None:
    module = trained(AutoencoderModule(recipe(codebook_size=codebook_size), CONTEXT), 10)
    path = tmp_path / "vae.safetensors"
    export = NetworkExportRecipe("network", title="A test", num_measured=1, normalise_latent_std=2.0)
    kept = {name: weight.clone() for name, weight in module.state_dict().items()}
    measured = export_network(module, export, path, {"atelier.steps": "10"}, [batch()])
    assert all(torch.equal(weight, kept[name]) for name, weight in module.state_dict().items())
    assert measured["latent_std"] == pytest.approx(2.0, rel=0.1)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.metadata["modelspec.title"] == "A test"
        assert checkpoint.metadata["atelier.latent_std"] == str(measured["latent_std"])
        assert {info.dtype for info in checkpoint.tensors.values()} == {"F16"}
    vae = store_on(host_with()).open_vae(path)
    image = drawing().movedim(1, 3) / 2 + 0.5
    own = module.validate(batch()).pictures[:, 1]
    assert vae.num_latent_channels == 4
    assert float(psnr(vae.decode(vae.encode(image)).movedim(3, 1), own)) > 45


def test_a_scale_of_latents_is_refused_for_what_has_none(tmp_path: Path) -> None:
    from engine.training.upscaler import UpscalerRecipe

    module = UpscalerRecipe("upscaler", channels=4, num_convs=1).build(CONTEXT)
    with pytest.raises(ConfigError, match="for autoencoders"):
        export_network(module, NetworkExportRecipe("network", normalise_latent_std=1.0), tmp_path / "x", {}, [])
