"""The MODEL handle: a network of some family with its parameterization and patches, as sampling asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.core.digest import digest_value
from engine.core.errors import OutOfMemory
from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.guidance.guidance import PLAIN, Guidance
from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.parameterization import Parameterization
from engine.families.fitting_size import largest_that_fits
from engine.families.steering import (
    bound_controls,
    bound_grounding,
    call_steered,
    grounded,
    residual_values,
    run_controls,
)
from engine.memory.device import is_out_of_memory
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.edits.compiled import Compiled, CompileFailed, is_compiling
from engine.nn.edits.edit import NetworkEdit
from engine.weights.patched import PatchedWeights
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["NetworkDenoiser", "NetworkForm"]


class NetworkForm(Protocol):
    """What is particular to a family's network: how conditioning becomes its inputs, and how it is called."""

    @property
    def in_channels(self) -> int:
        """Channels the network takes: the latent's and those of `ConditionInputs.concat`."""
        ...

    @property
    def context_width(self) -> int:
        """Width of `ConditionInputs.context`."""
        ...

    def condition(self, entry: ConditioningEntry, latent: Tensor, noise_mask: Tensor | None) -> ConditionInputs:
        """As `Denoiser.condition`, on whatever device the arguments are."""
        ...

    def call(self, module: nn.Module, x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Tensor:
        """One forward of the network; inputs have one row for each item of x, on x's device and in x's dtype.

        That of a U-Net takes `residuals` as well (engine.nn.residuals), so that controls can steer it.
        """
        ...

    def activation_bytes(self, batch_size: int, height: int, width: int, bytes_per_value: int) -> int:
        """Estimated peak memory of a forward, weights excluded."""
        ...

    def adapter_modules(self, modules: Iterable[str]) -> Mapping[str, str]:
        """Every name adapter files use for one of these modules → the module's name."""
        ...


@dataclass(frozen=True, slots=True)
class NetworkDenoiser:
    """A denoising network behind the MODEL socket; fulfils `engine.diffusion.denoiser.Denoiser`."""

    family: str
    form: NetworkForm
    latent_format: LatentFormat
    parameterization: Parameterization
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    digest: Callable[[], str] = field(repr=False)
    patches: PatchSet = NO_PATCHES
    guidance: Guidance = PLAIN
    edits: tuple[NetworkEdit, ...] = ()

    @property
    def identity(self) -> str:
        """Equal identity, equal function: file, part, patches, edits, dtypes, parameterization."""
        dtype = self.host.dtype_identity(self.source)
        edits = [edit.identity for edit in self.edits]
        return digest_value(
            [
                self.source.identity,
                self.patches.identity,
                self.parameterization.identity,
                dtype,
                self.host.device.name,
                edits,
            ]
        )

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    @property
    def device(self) -> torch.device:
        """Where latents and inputs lie."""
        return self.host.device.torch

    @property
    def in_channels(self) -> int:
        """Channels of the network's input."""
        return self.form.in_channels

    @property
    def context_width(self) -> int:
        """Width of the context it takes."""
        return self.form.context_width

    @property
    def adapter_modules(self) -> Mapping[str, str]:
        """Every name adapter files use for a module → the module's name in the network."""
        return self.form.adapter_modules(dict.fromkeys(name.rpartition(".")[0] for name in self.source.weights.specs))

    @property
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every weight of the network, by name."""
        return {name: spec.shape for name, spec in self.source.weights.specs.items()}

    @property
    def weights(self) -> PatchedWeights:
        """The network's weights after its patches."""
        return PatchedWeights(self.source.identity, self.source.weights, self.patches)

    def with_parameterization(self, parameterization: Parameterization) -> NetworkDenoiser:
        """The same network read as predicting something else."""
        return replace(self, parameterization=parameterization)

    def with_patches(self, patches: PatchSet) -> NetworkDenoiser:
        """The same network with weight patches added."""
        return replace(self, patches=self.patches.plus(patches))

    def with_guidance(self, guidance: Guidance) -> NetworkDenoiser:
        """The same network with these rules for guiders instead of its own."""
        return replace(self, guidance=guidance)

    def with_edit(self, edit: NetworkEdit) -> NetworkDenoiser:
        """The same weights computing a changed function; edits apply in the order they were added."""
        return replace(self, edits=(*self.edits, edit))

    def with_compute_dtype(self, dtype: torch.dtype) -> NetworkDenoiser:
        """The same network computing in this dtype, whatever the settings say."""
        return replace(self, source=self.source.computed_in(dtype))

    def foresee(self) -> None:
        """It will be used soon: its weights may come (see `NetworkHost.foresee`)."""
        self.host.foresee(self.source)

    def activation_bytes(self, batch_size: int, height: int, width: int) -> int:
        """Estimated peak memory of a forward, weights excluded, for a latent of this height and width."""
        return self.form.activation_bytes(batch_size, height, width, self.host.compute_dtype(self.source).itemsize)

    def condition(self, entry: ConditioningEntry, latent: Tensor, noise_mask: Tensor | None) -> ConditionInputs:
        """One conditioning entry as network inputs on `device`."""
        inputs = self.form.condition(entry, latent, noise_mask)
        if entry.controls or entry.grounding is not None:
            controls, grounding = bound_controls(self, entry, latent), bound_grounding(self, entry, latent)
            inputs = replace(inputs, controls=controls, grounding=grounding)
        return _map_inputs(inputs, lambda tensor: tensor.to(self.device, torch.float32))

    def denoise(self, x: Tensor, sigma: Tensor, inputs: ConditionInputs) -> Tensor:
        """One batched forward; a batch too large for the memory budget is computed in parts.

        x float32 [b c h w] at network scale, sigma float32 [b] → denoised float32 [b c h w], on x's device. Nothing is
        read from the device where sigma is on the CPU.
        """
        given_on = x.device
        edits = self._edits_of(sigma)
        x, sigma = x.to(self.device), sigma.to(self.device)
        item_bytes = self._activation_bytes(1, x, inputs)
        step = self.host.max_batch(item_bytes, x.shape[0])
        while True:
            if step < x.shape[0]:
                self.host.ledger.note("split", self.source.title, item_bytes, f"{x.shape[0]} items, {step} at a time")
            try:
                return self._denoise_in_parts(x, sigma, inputs, step, edits).to(given_on)
            except OutOfMemory as error:
                if step == 1:
                    raise self._with_what_fits(error, x, inputs) from error
                step = (step + 1) // 2

    def _with_what_fits(self, error: OutOfMemory, x: Tensor, inputs: ConditionInputs) -> OutOfMemory:
        """The error with the largest latent of this form that the budget holds beside streamed weights."""
        room = self.host.budget_bytes - self.host.least_bytes(self.source, self.patches)
        largest = largest_that_fits(
            x.shape[2], x.shape[3], lambda height, width: self.activation_bytes(1, height, width) <= room
        )
        if largest is None:
            return error
        height, width = (side * self.latent_format.downscale for side in largest)
        return OutOfMemory(
            error.message,
            hint=f"A picture of {width} x {height} pixels would fit. Make it smaller, or raise the memory limit.",
            details={**error.details, "fits": {"width": width, "height": height}},
        )

    def _edits_of(self, sigma: Tensor) -> Sequence[tuple[NetworkEdit, ...]]:
        """The edits that apply to each item."""
        levels = sigma.tolist() if self.edits else [0.0] * sigma.shape[0]
        return [tuple(edit for edit in self.edits if edit.covers(level)) for level in levels]

    def _denoise_in_parts(
        self, x: Tensor, sigma: Tensor, inputs: ConditionInputs, step: int, edits: Sequence[tuple[NetworkEdit, ...]]
    ) -> Tensor:
        parts = [
            self._denoise_once(x[start:stop], sigma[start:stop], inputs.rows(start, stop), edits[start])
            for start, stop in _runs(edits, step)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _denoise_once(
        self, x: Tensor, sigma: Tensor, inputs: ConditionInputs, edits: tuple[NetworkEdit, ...]
    ) -> Tensor:
        """One forward. Where the compiler fails the plain network runs, now and from then on."""
        plain = tuple(edit for edit in edits if not isinstance(edit, Compiled))
        compilation = digest_value([edit.identity for edit in edits])
        if plain == edits or self.host.is_uncompilable(self.source, compilation):
            return self._denoise_under(plain, x, sigma, inputs)
        if plain or inputs.grounding is not None:
            why = "Its other changes are made anew for each step, and the compiler would begin again each time."
            self.host.run_uncompiled(self.source, compilation, why)
            return self._denoise_under(plain, x, sigma, inputs)
        try:
            return self._denoise_under(edits, x, sigma, inputs)
        except CompileFailed as error:
            denoised = self._denoise_under(plain, x, sigma, inputs)
            if error.__cause__ is None or not is_out_of_memory(error.__cause__):
                self.host.run_uncompiled(self.source, compilation, f"{error.message} {error.hint}")
            return denoised

    def _denoise_under(
        self, edits: tuple[NetworkEdit, ...], x: Tensor, sigma: Tensor, inputs: ConditionInputs
    ) -> Tensor:
        dtype = self.host.compute_dtype(self.source)
        count = x.shape[0]
        rows = _map_inputs(inputs, lambda tensor: tensor.to(x.device, dtype).expand(count, *tensor.shape[1:]))

        def network(scaled: Tensor, c_noise: Tensor, given: ConditionInputs) -> Tensor:
            residuals = run_controls(given, scaled, c_noise)
            source, gates = grounded(given, self.source)

            def forward(module: nn.Module) -> Tensor:
                with ExitStack() as applied:
                    for edit in (*edits, *gates):
                        applied.enter_context(edit.applied(module))
                    predicted = call_steered(self.form, module, scaled, c_noise, given, residuals)
                if any(isinstance(edit, Compiled) and is_compiling(module) for edit in edits):
                    self.host.compile_beside(self.source, digest_value([edit.identity for edit in edits]))
                return predicted

            needed = self._activation_bytes(count, x, given)
            shape = None if edits or gates else self._shape(x, given)
            return self.host.run(
                source, forward, activation_bytes=needed, patches=self.patches, shape=shape, num_items=count
            )

        return self.parameterization.denoise(network, x, sigma, rows, dtype)

    def _activation_bytes(self, batch_size: int, x: Tensor, inputs: ConditionInputs) -> int:
        """Peak of a forward with these inputs: what controls add is held while the network runs."""
        itemsize = self.host.compute_dtype(self.source).itemsize
        height, width = x.shape[-2:]
        held = batch_size * height * width * residual_values(self, inputs) * itemsize
        estimate = self.activation_bytes(batch_size, height, width)
        if self.edits or inputs.grounding is not None:
            return estimate + held
        return self.host.activation_bytes(self.source, self._shape(x, inputs), batch_size, estimate) + held

    def _shape(self, x: Tensor, inputs: ConditionInputs) -> tuple[int, ...]:
        """What decides the activations of a forward, apart from the number of items."""
        return (x.shape[-2], x.shape[-1], inputs.num_tokens, int(bool(inputs.controls)))


def _runs(edits: Sequence[tuple[NetworkEdit, ...]], step: int) -> Iterator[tuple[int, int]]:
    """From where to where at most `step` items have the same edits, which may apply to a part of the trajectory."""
    start = 0
    while start < len(edits):
        stop = start + 1
        while stop < min(start + step, len(edits)) and edits[stop] == edits[start]:
            stop += 1
        yield start, stop
        start = stop


def _map_inputs(inputs: ConditionInputs, change: Callable[[Tensor], Tensor]) -> ConditionInputs:
    def each(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else change(tensor)

    return replace(
        inputs,
        context=each(inputs.context),
        vector=each(inputs.vector),
        concat=each(inputs.concat),
        controls=tuple(signal.mapped(change) for signal in inputs.controls),
        grounding=None if inputs.grounding is None else inputs.grounding.mapped(change),
    )
