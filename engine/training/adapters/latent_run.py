"""A LoRA trained on latents and their conditioning: what the training node does, one step after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.api.training import LoraSettings
from engine.core.errors import NodeError, OutOfMemory
from engine.diffusion.condition_inputs import ConditionInputs, merge_inputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.noise_path import FLOW_PATH
from engine.families.denoiser import NetworkDenoiser
from engine.memory.device import is_out_of_memory, release_cached_memory, supports_bfloat16
from engine.training.adapters.algorithms import ALGORITHMS, Algorithm
from engine.training.adapters.frozen import load_network
from engine.training.adapters.injection import AdapterForm, InjectedAdapter, inject
from engine.training.adapters.memory import make_room, training_bytes
from engine.training.adapters.targets import NetworkTargets, file_names
from engine.training.data.place import StepSampler
from engine.training.randomness import StepChance
from engine.training.sigma_sampling import DiscreteSampling
from engine.weights.adapters.keys import read_modules
from engine.weights.adapters.tensors import StoredModule, TensorSource

__all__ = ["LatentRun", "TrainedAdapter", "run_from_settings", "train_on_latents"]

_OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "AdamW": torch.optim.AdamW,
    "Adam": torch.optim.Adam,
    "SGD": torch.optim.SGD,
    "RMSprop": torch.optim.RMSprop,
}
_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "MSE": functional.mse_loss,
    "L1": functional.l1_loss,
    "Huber": functional.huber_loss,
    "SmoothL1": functional.smooth_l1_loss,
}


_SIGMAS = DiscreteSampling("discrete")


@dataclass(frozen=True, slots=True)
class LatentRun:
    """How to train. Two runs with equal fields on equal data make equal adapters (on one kind of device).

    accumulation: micro-batches of `batch_size` for each step of the optimizer. loss: between what the network puts out
    and what it should. result_dtype: of the tensors made; they are trained in float32. computes_narrow: bfloat16
    where the device has it natively, else float32. first_step: steps taken before, when going on with an adapter.
    """

    form: AdapterForm
    targets: NetworkTargets
    steps: int = 16
    batch_size: int = 1
    accumulation: int = 1
    learning_rate: float = 5e-4
    optimizer: str = "AdamW"
    loss: str = "MSE"
    seed: int = 0
    computes_narrow: bool = True
    result_dtype: torch.dtype = torch.float32
    uses_checkpointing: bool = True
    first_step: int = 0


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """tensors: of a kohya file, by key. losses: one for each step. steps: taken in all, earlier ones included."""

    tensors: Mapping[str, Tensor] = field(repr=False)
    losses: tuple[float, ...]
    steps: int


def run_from_settings(settings: LoraSettings) -> LatentRun:
    """What a node's settings mean. Raises NodeError for a name that is not known."""
    algorithm = settings.algorithm.lower()
    known = {"algorithm": ALGORITHMS, "optimizer": _OPTIMIZERS, "loss": _LOSSES}
    for name, value in (("algorithm", algorithm), ("optimizer", settings.optimizer), ("loss", settings.loss)):
        if value not in known[name]:
            raise NodeError(f"There is no {name} {value!r}.", hint=f"Known: {', '.join(known[name])}.", input=name)
    return LatentRun(
        form=AdapterForm(cast(Algorithm, algorithm), settings.rank),
        targets=NetworkTargets(),
        steps=settings.steps,
        batch_size=settings.batch_size,
        accumulation=settings.accumulation,
        learning_rate=settings.learning_rate,
        optimizer=settings.optimizer,
        loss=settings.loss,
        seed=settings.seed,
        computes_narrow=settings.computes_narrow,
        result_dtype=torch.bfloat16 if settings.stores_narrow else torch.float32,
        uses_checkpointing=settings.uses_checkpointing,
        first_step=settings.first_step,
    )


def train_on_latents(
    model: NetworkDenoiser,
    latents: Tensor,
    entries: Sequence[ConditioningEntry],
    run: LatentRun,
    on_step: Callable[[int, float], None],
    existing: TensorSource | None = None,
) -> TrainedAdapter:
    """Train an adapter of the model's network; the model itself stays as it is.

    Args:
        latents: [n c h w] at the autoencoder's scale.
        entries: one conditioning for each latent, or one for all.
        on_step: called after every step with its number (from 1) and loss; what it raises ends the training.
        existing: an adapter to go on with.

    Raises NodeError for data that does not go together, OutOfMemory when the training does not fit the budget.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Values of nodes are inference tensors, which no gradient may be computed with; copies are ordinary ones.
        data = _Examples.of(model, latents.clone(), entries)
        try:
            return _train(model, data, run, on_step, existing)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"The training ran out of memory on {model.host.device.name}.",
                hint="Lower batch_size, turn gradient_checkpointing on, or use smaller pictures.",
                details={"reason": str(error)[:500]},
            ) from error
        finally:
            release_cached_memory(model.host.device)


@dataclass(frozen=True, slots=True)
class _Examples:
    """Latents [n c h w] at network scale and the network inputs of each, on the device."""

    latents: Tensor
    inputs: Sequence[ConditionInputs]

    @classmethod
    def of(cls, model: NetworkDenoiser, latents: Tensor, entries: Sequence[ConditioningEntry]) -> _Examples:
        if len(entries) not in (1, len(latents)):
            raise NodeError(
                f"There are {len(latents)} latents but {len(entries)} conditionings.",
                code="bad_training_data",
                hint="Give one conditioning for all pictures, or one for each.",
                input="positive",
            )
        scaled = model.latent_format.to_network(latents.float()).to(model.device)
        inputs = [_cloned(model.condition(entry, scaled[:1], None)) for entry in entries]
        return cls(scaled, inputs if len(entries) > 1 else inputs * len(latents))

    def batch(self, indices: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, ConditionInputs]:
        """The latents of these items and their inputs, one row each."""
        merged = merge_inputs([self.inputs[index] for index in indices], [1] * len(indices))
        cast = {name: _as(getattr(merged, name), dtype) for name in ("context", "vector", "concat")}
        return self.latents[list(indices)], ConditionInputs(**cast)


def _train(
    model: NetworkDenoiser,
    data: _Examples,
    run: LatentRun,
    on_step: Callable[[int, float], None],
    existing: TensorSource | None,
) -> TrainedAdapter:
    device = model.host.device
    is_narrow = run.computes_narrow and supports_bfloat16(device)
    compute = torch.bfloat16 if is_narrow else torch.float32
    network, adapter, untouched = _prepare(model, data, run, compute, existing)
    optimizer = _OPTIMIZERS[run.optimizer](adapter.parameters(), lr=run.learning_rate)
    loss_of = _LOSSES[run.loss]
    sampler = StepSampler(len(data.latents), run.batch_size, run.seed)
    losses = []
    for step in range(run.first_step, run.first_step + run.steps):
        total = torch.zeros((), device=device.torch)
        for part in range(run.accumulation):
            places = sampler.batch(step * run.accumulation + part)
            size = run.batch_size * run.accumulation
            chance = StepChance.of_batch(run.seed, places[0].draw, len(places), size, device.torch)
            clean, inputs = data.batch([place.index for place in places], compute)
            loss = _loss(model, network, clean, inputs, chance, compute, loss_of) / run.accumulation
            loss.backward()
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(total))
        on_step(len(losses), losses[-1])
    tensors = {**untouched, **adapter.file_tensors(run.result_dtype)}
    return TrainedAdapter(tensors, tuple(losses), run.first_step + run.steps)


def _prepare(
    model: NetworkDenoiser, data: _Examples, run: LatentRun, compute: torch.dtype, existing: TensorSource | None
) -> tuple[nn.Module, InjectedAdapter, dict[str, Tensor]]:
    """The network with adapters on it, and what of an existing adapter is for other parts of the model."""
    spelled = model.adapter_modules
    stored = {} if existing is None else read_modules(existing).modules
    begin_with = {spelled[name]: tensors for name, tensors in stored.items() if name in spelled}
    targets = list(dict.fromkeys([*run.targets.chosen(model.weight_shapes), *begin_with]))
    batch_shape = (run.batch_size, *data.latents.shape[1:])
    needed = training_bytes(
        model,
        targets,
        run.form,
        compute=compute,
        batch_shape=batch_shape,
        uses_checkpointing=run.uses_checkpointing,
    )
    make_room(model, needed)
    network = load_network(model.source, model.host.device, compute=compute, patches=model.patches)
    if run.uses_checkpointing:
        network.recompute_activations()
    names = file_names(targets, spelled)
    adapter = inject(network, names, run.form, compute=compute, seed=run.seed, begin_with=begin_with)
    return network, adapter, _untouched(stored, spelled)


def _untouched(stored: Mapping[str, StoredModule], spelled: Mapping[str, str]) -> dict[str, Tensor]:
    return {
        key: module.source.tensor(key).clone()
        for name, module in stored.items()
        if name not in spelled
        for key in module.keys.values()
    }


def _loss(
    model: NetworkDenoiser,
    network: nn.Module,
    clean: Tensor,
    inputs: ConditionInputs,
    chance: StepChance,
    compute: torch.dtype,
    loss_of: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """The loss of the network's own output, which has the same size at every noise level."""
    parameterization = model.parameterization
    sigma = _SIGMAS.draw(chance, parameterization.sigma_table)
    wide = sigma.view(-1, *(1,) * (clean.ndim - 1))
    alpha = 1.0 - wide if parameterization.prediction.path is FLOW_PATH else 1.0
    noisy = alpha * clean + wide * chance.normal("noise", clean.shape[1:])

    def call(x: Tensor, c_noise: Tensor, given: ConditionInputs) -> Tensor:
        return model.form.call(network, x, c_noise, given)

    denoised = parameterization.denoise(call, noisy, sigma, inputs, compute)
    c_out = parameterization.prediction.factors(wide).c_out
    return loss_of(denoised / c_out, clean / c_out)


def _cloned(inputs: ConditionInputs) -> ConditionInputs:
    """Copies that gradients may be computed with."""
    return ConditionInputs(*(None if t is None else t.clone() for t in (inputs.context, inputs.vector, inputs.concat)))


def _as(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype)
