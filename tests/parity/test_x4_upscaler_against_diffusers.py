"""The diffusion upscaler: its network, its noise on small pictures and its node against diffusers' pipeline."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.core.errors import NodeError
from engine.diffusion.conditioning import parse_conditioning
from engine.diffusion.discretization.registry import discretize
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.latent import parse_latent
from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS
from engine.diffusion.sampling import sample
from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.nn.text_transformer import TextTransformer
from engine.nn.unet import UNet, UNetConfig
from nodes.upscale import condition_upscaling
from tests.tiny_families import TEXT_H, layout_file, open_clip_weights, random_weights
from tests.tiny_sd1 import host_with, store_on

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DConditionModel

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02}
"""Of the published pipeline, for the latent and for the small picture."""
SEED = 12345
WHOLE = UNetConfig(
    7, 4, 32, (1, 2, 2), 1, (0, 1, 1), 1, 32, num_heads=8, uses_linear=True, num_classes=1000, outward_levels=(1,)
)


def their_network() -> UNet2DConditionModel:
    """The published structure, narrow."""
    torch.manual_seed(0)
    down = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = UNet2DConditionModel(
            sample_size=16, in_channels=7, out_channels=4, block_out_channels=[32, 64, 64], layers_per_block=1,
            down_block_types=down, up_block_types=[kind.replace("Down", "Up") for kind in reversed(down)],
            only_cross_attention=[True, True, False], cross_attention_dim=24, attention_head_dim=8,
            norm_num_groups=8, num_class_embeds=1000, use_linear_projection=True,
        )  # fmt: skip
    return network.eval().requires_grad_(False)


def test_the_published_file_opens_with_every_key_explained(tmp_path: Path) -> None:
    found = store_on(host_with()).describe(layout_file("x4-upscaler-ema", tmp_path))
    assert (found.family, found.problem, found.unexplained) == ("sd2_upscaler", None, ())
    shares = DDPMScheduler(**SCHEDULE).alphas_cumprod
    lowest, highest = (float((1 - shares[step]) / shares[step]) ** 0.5 for step in (0, -1))
    assert found.prediction == f"v, noise levels {lowest:.4g} to {highest:.4g}"


@pytest.mark.parametrize("augmentation", [0.0, 0.4])
def test_a_step_of_the_upscaler_is_that_of_diffusers_pipeline(augmentation: float, tmp_path: Path) -> None:
    theirs = their_network()
    save_file(theirs.state_dict(), tmp_path / "unet.safetensors")
    model = store_on(host_with()).open_diffusion_model(tmp_path / "unet.safetensors")
    image, context = torch.rand(1, 16, 24, 3), torch.randn(1, 9, 24)
    pairs, _, latent = condition_upscaling(image, [[context, {}]], [], 4.0, augmentation)
    x_start = torch.randn(latent["samples"].shape)
    scheduler = DDIMScheduler(**SCHEDULE, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False)
    scheduler.set_timesteps(10)
    time = scheduler.timesteps[3]
    share = scheduler.alphas_cumprod[time]

    level = torch.tensor([round(350 * augmentation)])
    noise = torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(SEED - 10))
    shown = DDPMScheduler(**SCHEDULE).add_noise(image.movedim(-1, 1) * 2 - 1, noise, level)
    velocity = theirs(torch.cat([x_start, shown], dim=1), time, context, class_labels=level).sample
    wanted = scheduler.step(velocity, time, x_start).pred_original_sample

    entry = replace(parse_conditioning(pairs)[0], seed=SEED)
    inputs = model.condition(entry, latent["samples"], None)
    sigma = ((1 - share) / share) ** 0.5
    found = model.denoise(x_start / share**0.5, sigma[None], inputs)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-4


def test_a_whole_checkpoint_makes_a_picture_four_times_as_large_of_what_it_is_shown(tmp_path: Path) -> None:
    torch.manual_seed(1)
    parts = {
        "model.diffusion_model.": random_weights(UNet(WHOLE)),
        "cond_stage_model.model.": open_clip_weights(random_weights(TextTransformer(TEXT_H))),
        "first_stage_model.": random_weights(Autoencoder(AutoencoderConfig(32, (1, 1, 1), 1, 4))),
        "low_scale_model.": {"betas": torch.zeros(1000)},
    }
    save_file(
        {prefix + name: w for prefix, part in parts.items() for name, w in part.items()}, tmp_path / "x4.safetensors"
    )
    model, clip, vae = store_on(host_with()).open_checkpoint(tmp_path / "x4.safetensors")
    assert (model.family, vae.downscale) == ("sd2_upscaler", 4)
    text = [[clip.encode("a fox").context, {}]]
    levels = discretize("normal", model.parameterization.sigma_table, 2, 1.0)
    found = []
    for image in (torch.zeros(1, 8, 16, 3), torch.ones(1, 8, 16, 3)):
        positive, negative, latent = condition_upscaling(image, text, text, 4.0, 0.1)
        guider = Cfg(model, parse_conditioning(positive), parse_conditioning(negative), 4.0)
        flow = sample(guider, SAMPLERS["euler"], levels, parse_latent(latent), seed=SEED)
        found.append(vae.decode(drive(flow)))
    assert found[0].shape == (1, 32, 64, 3)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_another_ratio_scales_the_picture_that_is_shown() -> None:
    pairs, negative, latent = condition_upscaling(torch.rand(2, 40, 64, 3), [[torch.zeros(1), {}]], [], 2.0)
    assert pairs[0][1]["concat_image"].shape == (2, 3, 20, 32)
    assert (latent["samples"].shape, negative) == ((2, 4, 20, 32), [])


def test_the_upscaler_without_a_picture_says_where_to_show_it(tmp_path: Path) -> None:
    save_file(their_network().state_dict(), tmp_path / "unet.safetensors")
    model = store_on(host_with()).open_diffusion_model(tmp_path / "unet.safetensors")
    with pytest.raises(NodeError, match="was given none") as error:
        model.condition(parse_conditioning([[torch.zeros(1, 9, 24), {}]])[0], torch.zeros(1, 4, 16, 16), None)
    assert "SD_4XUpscale_Conditioning" in error.value.hint
