"""A loaded checkpoint as the model of a training run: its own networks, noise levels, latents and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.noise_path import FLOW_PATH
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EdmPrediction, Prediction, VPrediction
from engine.families.denoiser import NetworkDenoiser
from engine.families.text.clip_encoder import TextTools
from engine.memory.device import cpu_device
from engine.training.adapters.direct_host import DirectHost, retargeted, text_encoders
from engine.training.adapters.frozen import load_network
from engine.training.adapters.loaded_text import LoadedText
from engine.training.conditioner import Conditioner
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.diffusion_module import DiffusionModule
from engine.training.diffusion_recipe import DiffusionRecipe, SigmaSamplingRecipe, WeightingRecipe
from engine.training.embedders.embedder import Embedder
from engine.training.first_stage import AutoencoderStageRecipe
from engine.training.sigma_sampling import DiscreteSampling, LogitNormalSampling
from engine.training.weighting import EdmWeighting, EpsWeighting, VWeighting

__all__ = ["BaseModel", "BaseModelRecipe", "CallsNetwork", "LoadedParts", "LossRecipe", "assemble", "learned_by"]

Learned = TypeVar("Learned")
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class BaseModelRecipe:
    """checkpoint: of any family. held: the dtype frozen matrices are held in; they are computed with in the run's.

    uses_checkpointing: compute activations again on the way back instead of keeping them.
    last_layer: whose output of the text encoder is used, counted from the end; None for the family's choice.
    """

    checkpoint: Path
    held: Literal["fp32", "fp16", "bf16"] = "fp32"
    uses_checkpointing: bool = False
    last_layer: int | None = None

    def open(self, context: BuildContext) -> BaseModel:
        """The handles of the file. Raises CheckpointError, and ConfigError when a part is missing."""
        from engine.families.model_store import ModelStore
        from engine.families.registry import find_families
        from engine.memory.network import NetworkHost

        path = context.path(self.checkpoint)
        # Nothing runs on this host: the handles serve to read weights and to say how the family does things.
        host = NetworkHost(cpu_device(), 0)
        store = ModelStore({"network": host, "vae": host, "text_encoder": host}, find_families())
        model, clip, vae = store.open_checkpoint(path)
        for name, part in (("network", model), ("text encoder", clip), ("autoencoder", vae)):
            if part is None:
                raise ConfigError(f"{path.name} has no {name}.", hint="Name a complete checkpoint.")
        if self.last_layer is not None:
            clip = clip.with_last_layer(self.last_layer)
        return BaseModel(self, path, model, clip)

    @property
    def held_dtype(self) -> torch.dtype:
        """The dtype of frozen matrices."""
        return _DTYPES[self.held]


@dataclass(frozen=True, slots=True)
class BaseModel:
    """An opened checkpoint. The scales of a file of eight-bit weights are patches of its handles."""

    recipe: BaseModelRecipe
    path: Path
    model: NetworkDenoiser = field(repr=False)
    clip: Any = field(repr=False)

    def network(self, *, is_trained: bool = False) -> nn.Module:
        """The denoising network; frozen, or copied and learned as a whole."""
        network = load_network(
            self.model.source,
            cpu_device(),
            compute=torch.float32,
            held=None if is_trained else self.recipe.held_dtype,
            patches=self.model.patches,
            is_trained=is_trained,
        )
        if self.recipe.uses_checkpointing:
            network.recompute_activations()
        return network

    def texts(self, *, is_trained: bool = False) -> dict[str, nn.Module]:
        """The text encoders' networks by the identity of their sources."""
        held = None if is_trained else self.recipe.held_dtype
        return {
            encoder.source.identity: load_network(
                encoder.source,
                cpu_device(),
                compute=torch.float32,
                held=held,
                patches=encoder.patches,
                is_trained=is_trained,
            ).eval()
            for encoder in text_encoders(self.clip)
        }


@dataclass(frozen=True, slots=True)
class LossRecipe:
    """What is left to choose about the loss of a loaded model.

    sigma_sampling: None draws every level of the model's table alike, for flows the logit-normal times.
    weighting: None is the plain squared error of what the network puts out.
    """

    sigma_sampling: SigmaSamplingRecipe | None = None
    weighting: WeightingRecipe | None = None
    offset_noise: float = 0.0
    input_key: str = "image"


@dataclass(frozen=True, slots=True)
class _Given:
    """A parameterization that is there already."""

    parameterization: Parameterization

    def build(self) -> Parameterization:
        return self.parameterization


class CallsNetwork(Protocol):
    """How a network is called; a family's form is one."""

    def call(self, module: nn.Module, x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Tensor:
        """One forward."""
        ...


@dataclass(frozen=True, slots=True)
class _LoadedNetwork:
    """A network that is there already, called as its family does or as `caller` says."""

    module: nn.Module
    caller: CallsNetwork

    def build(self, context: BuildContext) -> nn.Module:
        return self.module

    def call(self, module: nn.Module, x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Tensor:
        return self.caller.call(module, x, c_noise, inputs)


@dataclass(frozen=True, slots=True)
class _LoadedTexts:
    """Text encoders that are there already, and further embedders."""

    embedders: tuple[Embedder, ...]

    def build(self, context: BuildContext) -> Conditioner:
        return Conditioner(self.embedders)


@dataclass(frozen=True, slots=True)
class LoadedParts:
    """The parts of a loaded model in the place of a `DiffusionRecipe`'s; no second task.

    learned: what the run is for, to export.
    """

    network: _LoadedNetwork
    parameterization: _Given
    conditioner: _LoadedTexts
    first_stage: AutoencoderStageRecipe
    sigma_sampling: SigmaSamplingRecipe
    weighting: WeightingRecipe
    offset_noise: float
    input_key: str
    learned: Any
    places: None = None


def learned_by(module: DiffusionModule, wanted: type[Learned], what: str) -> Learned:
    """What a module of `assemble` learns. Raises ConfigError when it is something else."""
    parts: Any = module.recipe
    learned = parts.learned if isinstance(parts, LoadedParts) else None
    if not isinstance(learned, wanted):
        raise ConfigError(f"This run does not make {what}.", hint="Choose the export that belongs to model.kind.")
    return learned


def assemble(
    base: BaseModel,
    network: nn.Module,
    texts: Mapping[str, nn.Module],
    loss: LossRecipe,
    context: BuildContext,
    *,
    learned: Any,
    ucg_rate: float = 0.0,
    trains_texts: bool = False,
    tools: Callable[[TextTools], TextTools] | None = None,
    rewrite: Callable[[str, int], str] | None = None,
    more: Sequence[Embedder] = (),
    caller: CallsNetwork | None = None,
) -> DiffusionModule:
    """The module that trains whatever of these networks has gradients.

    Args:
        texts: networks of the text encoders by identity of their source.
        learned: what exports take.
        ucg_rate: part of the examples that are trained with the empty text.
        trains_texts: gradients flow through the text encoders.
        tools, rewrite: changes of what texts mean, see `retargeted` and `LoadedText`.
        more: embedders beside that of the text.
        caller: how the network is called; None for the family's own way.
    """
    host = DirectHost(texts)
    model = replace(base.model, host=host)
    clip = retargeted(base.clip, host, tools)
    embedder = LoadedText(
        model, clip, host, list(texts.values()), ucg_rate=ucg_rate, is_trainable=trains_texts, rewrite=rewrite
    )
    _freeze_unreached(embedder)
    form, prediction = base.model.latent_format, base.model.parameterization.prediction
    parts = LoadedParts(
        network=_LoadedNetwork(network, caller or model.form),
        parameterization=_Given(base.model.parameterization),
        conditioner=_LoadedTexts((embedder, *more)),
        first_stage=AutoencoderStageRecipe("autoencoder", base.path, form.scale, form.shift),
        sigma_sampling=loss.sigma_sampling or _usual_sampling(prediction),
        weighting=loss.weighting or _own_weighting(prediction),
        offset_noise=loss.offset_noise,
        input_key=loss.input_key,
        learned=learned,
    )
    # The module asks its recipe for exactly these parts.
    return DiffusionModule(cast(DiffusionRecipe, parts), context)


def _freeze_unreached(embedder: LoadedText) -> None:
    """Fix weights no output hangs on, such as layers behind the one that is used: several devices wait for gradients
    of everything that is learned."""
    learned = [parameter for parameter in embedder.parameters() if parameter.requires_grad]
    if not learned:
        return
    total = sum(output.sum() for output in embedder({embedder.input_key: [""]}, None, torch.device("cpu")))
    gradients = torch.autograd.grad(cast(Tensor, total), learned, allow_unused=True)
    for parameter, gradient in zip(learned, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def _usual_sampling(prediction: Prediction) -> SigmaSamplingRecipe:
    return LogitNormalSampling("logit_normal") if prediction.path is FLOW_PATH else DiscreteSampling("discrete")


def _own_weighting(prediction: Prediction) -> WeightingRecipe:
    if isinstance(prediction, VPrediction):
        return VWeighting("v")
    # Of eps and of a flow's velocity alike: both are the error of `denoised` divided by sigma.
    return EdmWeighting("edm", prediction.sigma_data) if isinstance(prediction, EdmPrediction) else EpsWeighting("eps")
