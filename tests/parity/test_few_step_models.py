"""Models of few steps, from files of their form to latents, against the pipelines and schedulers of diffusers.

The settings are those of docs/few-step-models.md. One thing differs by intention: at the highest level the start is
noise times √(1 + sigma²), as the networks were trained, where Euler's scheduler takes noise times sigma; below it is
noise times sigma, where theirs is noise alone. `starts_as` gives the pipelines the start that is used here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.diffusion.noise import initial_noise
from engine.diffusion.prediction import LcmPrediction
from engine.diffusion.requests import drive
from engine.families.unet.marks import prediction_marks
from engine.nn.unet import UNetConfig
from nodes.conditioning import set_guidance
from nodes.model_sampling import sample_discrete
from nodes.samplers import sampler_by_name
from nodes.sampling import ksampler, sample_custom
from nodes.sigmas import basic_levels, set_first, turbo_levels
from tests.parity.test_adapters_against_diffusers import lora_for, merge
from tests.parity.test_later_families import XL, relative_error
from tests.parity.test_later_families import their_unet as their_xl_unet
from tests.parity.test_networks_against_diffusers import their_unet
from tests.tiny_sd1 import host_with, store_on

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import (
        DDIMScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        LatentConsistencyModelPipeline,
        LCMScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""Of numpy, about their schedulers."""

SEED, SIZE = 5, 16
TOLERANCE = 1e-4
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TRAILING = {**BETAS, "timestep_spacing": "trailing"}
LCM_UNET = UNetConfig(4, 4, 32, (1, 2, 2), 1, (1, 1, 0), 1, 768)


@dataclass(frozen=True)
class NoPreviews:
    """A job that nobody watches."""

    preview_method: str = "none"

    def progress(self, value: float, maximum: float, preview: Any = None) -> None:
        assert value <= maximum


@pytest.fixture
def xl() -> UNet2DConditionModel:
    torch.manual_seed(3)
    return their_xl_unet([32, 64, 128], [0, 1, 2], 2048, **XL, projection_class_embeddings_input_dim=2816)


def silently(pipeline: Any, **options: Any) -> torch.Tensor:
    """The latents of a pipeline, whose warnings about its own libraries are none of ours."""
    pipeline.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline(height=8 * SIZE, width=8 * SIZE, output_type="latent", **options).images


def opened(network: UNet2DConditionModel, folder: Path) -> Any:
    """Our MODEL of the file that diffusers would write, a network alone."""
    save_file({name: weight.contiguous() for name, weight in network.state_dict().items()}, folder / "unet.safetensors")
    return store_on(host_with()).open_diffusion_model(folder / "unet.safetensors")


def texts() -> list[dict[str, torch.Tensor]]:
    """What two texts are encoded as: to be, and to be avoided."""
    generator = torch.Generator().manual_seed(1)
    return [
        {"context": torch.randn(1, 7, 2048, generator=generator), "pooled": torch.randn(1, 1280, generator=generator)}
        for _ in range(2)
    ]


def conditioning() -> list[list[Any]]:
    return [[[text["context"], {"pooled_output": text["pooled"]}]] for text in texts()]


def empty() -> dict[str, torch.Tensor]:
    return {"samples": torch.zeros(1, 4, SIZE, SIZE)}


def starts_as(scheduler: Any, sigma: float) -> torch.Tensor:
    """Latents with which a pipeline of this scheduler starts at what is started with here."""
    noise = initial_noise((1, 4, SIZE, SIZE), SEED)
    is_maximal = sigma > 14.6
    ours = noise * ((1 + sigma**2) ** 0.5 if is_maximal else sigma)
    is_scaled = isinstance(scheduler, (EulerDiscreteScheduler, EulerAncestralDiscreteScheduler))
    return ours / sigma if is_scaled else ours / (1 + sigma**2) ** 0.5


def theirs(network: UNet2DConditionModel, scheduler: Any, *, sigma: float = 14.6146, **options: Any) -> torch.Tensor:
    """What the pipeline makes of a network of XL's."""
    pipeline = StableDiffusionXLPipeline(None, None, None, None, None, network, scheduler, add_watermarker=False)
    wanted, unwanted = texts()
    scale = options.pop("guidance_scale", 0.0)
    negative = {"negative_prompt_embeds": unwanted["context"], "negative_pooled_prompt_embeds": unwanted["pooled"]}
    return silently(
        pipeline,
        prompt_embeds=wanted["context"],
        pooled_prompt_embeds=wanted["pooled"],
        guidance_scale=scale,
        latents=starts_as(scheduler, sigma),
        generator=torch.Generator().manual_seed(SEED),
        **(negative if scale > 1 else {}),
        **options,
    )


def ours(model: Any, steps: int, sampler: str, scheduler: str, cfg: float = 1.0) -> torch.Tensor:
    """What KSampler makes, at network scale."""
    positive, negative = conditioning()
    flow = ksampler(
        model=model, seed=SEED, steps=steps, cfg=cfg, sampler_name=sampler, scheduler=scheduler, positive=positive,
        negative=negative, latent_image=empty(), ctx=NoPreviews(),
    )  # fmt: skip
    return model.latent_format.to_network(drive(flow)["samples"])


def ours_at(model: Any, sampler: str, sigmas: torch.Tensor) -> torch.Tensor:
    """What SamplerCustom makes over given levels, at network scale."""
    positive, negative = conditioning()
    flow = sample_custom(
        model=model, noise_seed=SEED, cfg=1.0, positive=positive, negative=negative, sampler=sampler_by_name(sampler),
        sigmas=sigmas, latent_image=empty(), ctx=NoPreviews(),
    )  # fmt: skip
    return model.latent_format.to_network(drive(flow)[0]["samples"])


# ------------------------------------------------------------------ Lightning


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_lightning_as_a_network_is_that_of_diffusers(steps: int, xl: Any, tmp_path: Path) -> None:
    wanted = theirs(xl, EulerDiscreteScheduler(**TRAILING), num_inference_steps=steps)
    model = opened(xl, tmp_path)
    assert relative_error(ours(model, steps, "euler", "simple"), wanted) < TOLERANCE
    # sgm_uniform counts 999 downwards, trailing steps 1000: up to a step apart.
    assert relative_error(ours(model, steps, "euler", "sgm_uniform"), wanted) < 1e-2


def test_lightning_as_a_lora_is_that_of_diffusers(xl: Any, tmp_path: Path) -> None:
    tensors = lora_for(xl, is_kohya=True)
    model = opened(xl, tmp_path)
    save_file(tensors, tmp_path / "lora.safetensors")
    warned: list[str] = []
    adapter = store_on(host_with()).open_adapter(tmp_path / "lora.safetensors")
    model, _ = adapter.apply(model, None, 1.0, 1.0, warned.append)
    merge(xl, tensors, is_kohya=True)
    wanted = theirs(xl, EulerDiscreteScheduler(**TRAILING), num_inference_steps=4)
    assert warned == []
    assert relative_error(ours(model, 4, "euler", "simple"), wanted) < TOLERANCE


def test_lightning_of_one_step_predicts_the_clean_picture(xl: Any, tmp_path: Path) -> None:
    wanted = theirs(xl, EulerDiscreteScheduler(**TRAILING, prediction_type="sample"), num_inference_steps=1)
    model = sample_discrete(opened(xl, tmp_path), "x0")
    assert relative_error(ours(model, 1, "euler", "sgm_uniform"), wanted) < TOLERANCE


# ------------------------------------------------------------------ Hyper-SD


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_hyper_of_several_steps_is_that_of_diffusers(steps: int, xl: Any, tmp_path: Path) -> None:
    wanted = theirs(xl, DDIMScheduler(**TRAILING, clip_sample=False), num_inference_steps=steps)
    model = opened(xl, tmp_path)
    for sampler in ("euler", "ddim"):
        assert relative_error(ours(model, steps, sampler, "simple"), wanted) < TOLERANCE


def test_hyper_of_one_step_starts_at_a_level_of_its_own(xl: Any, tmp_path: Path) -> None:
    model = opened(xl, tmp_path)
    sigma = 5.111
    assert model.parameterization.sigma_table.timestep(sigma) == 800
    wanted = theirs(xl, LCMScheduler(**BETAS), sigma=sigma, num_inference_steps=1, timesteps=[800])
    sigmas = set_first(basic_levels(model, "sgm_uniform", 1), sigma)
    assert relative_error(ours_at(model, "euler", sigmas), wanted) < 1e-3


# ------------------------------------------------------------------ latent consistency


@pytest.mark.parametrize(("steps", "scale"), [(1, 1.0), (4, 1.0), (8, 1.0), (4, 1.6)])
def test_a_latent_consistency_lora_is_that_of_diffusers(steps: int, scale: float, xl: Any, tmp_path: Path) -> None:
    wanted = theirs(xl, LCMScheduler(**BETAS), num_inference_steps=steps, guidance_scale=scale)
    model = sample_discrete(opened(xl, tmp_path), "lcm")
    assert relative_error(ours(model, steps, "lcm", "simple", scale), wanted) < TOLERANCE


@pytest.mark.parametrize("guidance", [None, 1.0, 3.5])
def test_a_latent_consistency_network_with_guidance_inside_is_that_of_diffusers(
    guidance: float | None, tmp_path: Path
) -> None:
    network = their_unet(LCM_UNET, SIZE, time_cond_proj_dim=256)
    context = torch.randn(1, 7, 768, generator=torch.Generator().manual_seed(2))
    scheduler = LCMScheduler(**BETAS)
    parts = [None, None, None, network, scheduler, None, None]
    pipeline = LatentConsistencyModelPipeline(*parts, requires_safety_checker=False)
    wanted = silently(
        pipeline,
        prompt_embeds=context,
        guidance_scale=guidance or 8.0,
        num_inference_steps=4,
        latents=starts_as(scheduler, 14.6146),
        generator=torch.Generator().manual_seed(SEED),
    )
    model = opened(network, tmp_path)
    assert isinstance(model.parameterization.prediction, LcmPrediction)
    # A file says so by that key alone, so one in which the network is to be another kind cannot be written.
    assert prediction_marks(model) == {}
    assert prediction_marks(sample_discrete(model, "eps")) is None
    positive = [[context, {}]] if guidance is None else set_guidance([[context, {}]], guidance)
    flow = ksampler(
        model=model, seed=SEED, steps=4, cfg=1.0, sampler_name="lcm", scheduler="simple", positive=positive,
        negative=[[context, {}]], latent_image=empty(), ctx=NoPreviews(),
    )  # fmt: skip
    assert relative_error(model.latent_format.to_network(drive(flow)["samples"]), wanted) < TOLERANCE


# ------------------------------------------------------------------ Turbo


def test_turbo_of_one_step_is_that_of_diffusers(xl: Any, tmp_path: Path) -> None:
    wanted = theirs(xl, EulerAncestralDiscreteScheduler(**TRAILING), num_inference_steps=1)
    model = opened(xl, tmp_path)
    assert relative_error(ours_at(model, "euler_ancestral", turbo_levels(model, 1)), wanted) < TOLERANCE


@pytest.mark.parametrize("steps", [2, 4])
def test_turbo_of_more_steps_is_that_of_diffusers(steps: int, xl: Any, tmp_path: Path) -> None:
    wanted = theirs(xl, EulerAncestralDiscreteScheduler(**TRAILING), num_inference_steps=steps)
    assert relative_error(ours(opened(xl, tmp_path), steps, "euler_ancestral", "simple"), wanted) < TOLERANCE
