"""Pictures of the model under training, made with the engine's own guiders and samplers, as PNG grids."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.discretization.registry import DISCRETIZATIONS, discretize
from engine.diffusion.guidance.guidance import PLAIN, Guidance
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.guiders.guider import Guider
from engine.diffusion.latent import LatentInput
from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.requests import drive
from engine.diffusion.samplers.registry import SAMPLERS, find_sampler
from engine.diffusion.sampling import sample
from engine.training.data.collate import Batch
from engine.training.diffusion_module import DiffusionModule

__all__ = ["ModuleDenoiser", "SamplesRecipe", "draw_samples", "save_grid"]

_INPUTS = "inputs"


@dataclass(frozen=True, slots=True)
class SamplesRecipe:
    """A grid every `every_steps` steps and at the end.

    num: pictures. size: height and width in pixels. texts, classes: what they show, in turn; the data's first examples
    where an embedder needs what is not given here. guidance: scale of classifier-free guidance, 1 for none.
    """

    size: tuple[int, int]
    every_steps: int = 1000
    num: int = 8
    columns: int = 4
    texts: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()
    sampler: str = "euler"
    discretization: str = "normal"
    steps: int = 20
    guidance: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"there is no sampler {self.sampler!r}; known: {', '.join(sorted(SAMPLERS))}")
        if self.discretization not in DISCRETIZATIONS:
            raise ValueError(f"there is no discretization {self.discretization!r}; known: {', '.join(DISCRETIZATIONS)}")
        if min(self.num, self.columns, self.steps, self.every_steps) < 1:
            raise ValueError("num, columns, steps and every_steps are at least 1")

    def given(self) -> dict[str, Any]:
        """The conditions that follow from the recipe alone, by the usual keys of data."""
        sizes = torch.tensor([self.size]).expand(self.num, 2)
        found: dict[str, Any] = {
            "original_size": sizes,
            "target_size": sizes,
            "crop_top_left": torch.zeros(self.num, 2, dtype=torch.int64),
        }
        if self.texts:
            found["text"] = [self.texts[number % len(self.texts)] for number in range(self.num)]
        if self.classes:
            found["class"] = torch.tensor([self.classes[number % len(self.classes)] for number in range(self.num)])
        return found

    def missing(self, module: DiffusionModule) -> set[str]:
        """What the model's embedders read and the recipe does not say."""
        return {embedder.input_key for embedder in module.conditioner.parts} - set(self.given())


@dataclass(frozen=True, slots=True, eq=False)
class ModuleDenoiser:
    """A module under training as an `engine.diffusion.denoiser.Denoiser`; latents stay in network scale."""

    module: DiffusionModule

    @property
    def identity(self) -> str:
        """Its own; nothing is merged with it."""
        return f"module:{id(self.module)}"

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.module.device

    @property
    def latent_format(self) -> LatentFormat:
        """The first stage's channels at scale 1: it decodes network scale itself."""
        return replace(self.module.first_stage.latent_format, scale=1.0, shift=0.0)

    @property
    def parameterization(self) -> Parameterization:
        """What the network is trained to predict."""
        return self.module.parameterization

    @property
    def guidance(self) -> Guidance:
        """No rules of its own."""
        return PLAIN

    def condition(self, entry: ConditioningEntry, latent: Tensor, noise_mask: Tensor | None) -> ConditionInputs:
        """The inputs the entry carries."""
        return entry.extras[_INPUTS]

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        """One forward."""
        return self.parameterization.denoise(self.module.predict, x, sigma.to(x.device), inputs)


@torch.no_grad()
def draw_samples(
    module: DiffusionModule,
    recipe: SamplesRecipe,
    batch: Mapping[str, Any] = MappingProxyType({}),
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Pictures [num c h w] in [0, 1] on the CPU.

    Args:
        batch: at least `num` examples for what `recipe.missing` names.
        dtype: what the network computes in.
    """
    was_training = module.training
    module.eval()
    device = module.device
    wanted = recipe.missing(module) | {part.companion_key for part in module.conditioner.parts}
    rows: Batch = {key: batch[key][: recipe.num] for key in wanted if key in batch} | recipe.given()
    try:
        with _eagerly(module), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            positive = module.conditioner.conditional(rows, device)
            negative = module.conditioner.unconditional(rows, recipe.num, device)
            latent = _sampled(ModuleDenoiser(module), recipe, positive, negative)
        return module.first_stage.decode(latent.to(device)).float().cpu().add(1).div(2).clamp(0, 1)
    finally:
        module.train(was_training)


def _eagerly(module: DiffusionModule) -> AbstractContextManager[Any]:
    """A few pictures of another batch size are not worth compiling for."""
    return torch.compiler.set_stance("force_eager") if module.is_compiled else nullcontext()


def _sampled(
    denoiser: ModuleDenoiser, recipe: SamplesRecipe, positive: ConditionInputs, negative: ConditionInputs
) -> Tensor:
    guider: Guider = Basic(denoiser, (_entry(positive),))
    if not math.isclose(recipe.guidance, 1.0):
        guider = Cfg(denoiser, (_entry(positive),), (_entry(negative),), recipe.guidance)
    form = denoiser.latent_format
    shape = (recipe.num, form.num_channels, *(edge // form.downscale for edge in recipe.size))
    sampler = find_sampler(recipe.sampler)
    sigmas = discretize(
        recipe.discretization,
        denoiser.parameterization.sigma_table,
        recipe.steps,
        drops_penultimate=sampler.drops_penultimate,
    )
    return drive(sample(guider, sampler, sigmas, LatentInput(torch.zeros(shape)), seed=recipe.seed))


def save_grid(pictures: Tensor, path: Path, columns: int, kind: Literal["PNG"] = "PNG") -> None:
    """Write pictures [n 1|3 h w] in [0, 1] as one picture, row by row."""
    import numpy as np
    from PIL import Image

    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    grid = torch.zeros(3, rows * height, columns * width)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        grid[:, top : top + height, left : left + width] = picture if channels == 3 else picture[:1]
    values = grid.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(values)).save(path, kind)


def _entry(inputs: ConditionInputs) -> ConditioningEntry:
    context = torch.zeros(1, 0, 0) if inputs.context is None else inputs.context
    return ConditioningEntry(context, extras=MappingProxyType({_INPUTS: inputs}))
