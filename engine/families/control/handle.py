"""The handle behind the CONTROL_NET socket when it is a control network: whole, or told apart from a base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.digest import digest_value
from engine.core.errors import NodeError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.families.control.picture import fitted_picture
from engine.families.steering import unet_sizes
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.control_net import HINT_SCALE, ControlNet, ControlNetConfig
from engine.nn.residuals import Residuals
from engine.nn.unet_encoder import UNetConfig
from engine.weights.adapters.patch import AdapterPatch
from engine.weights.adapters.tensors import Change
from engine.weights.composed import ComposedWeights, chosen_patches
from engine.weights.patches import NO_PATCHES, PatchSet
from engine.weights.remap import WeightReader

__all__ = ["BasedControlNet", "NetworkControl"]

_WHAT = "ControlNet"
_FULL_SIZE_MAPS = 3
"""Maps of the picture's own size that are held at once."""
_CELL_MAPS = 20
"""Maps of the latent's size and the first level's width that are held at once, as in the U-Net."""


@dataclass(frozen=True, slots=True)
class NetworkControl:
    """A control network with all its weights.

    kind: number of the kind of picture it is shown, for networks of several; None when that is not said.
    patches: changes of its weights, for a network that is a changed copy of a base model's.
    """

    config: ControlNetConfig
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    digest: Callable[[], str] = field(repr=False)
    kind: int | None = None
    patches: PatchSet = NO_PATCHES

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        dtype = self.host.dtype_identity(self.source)
        return digest_value([self.source.identity, self.patches.identity, self.kind, dtype, self.host.device.name])

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    @property
    def num_kinds(self) -> int:
        """Kinds of picture it can be told; 0 for a network of one kind."""
        return 0 if self.config.kinds is None else self.config.kinds.num_kinds

    def with_kind(self, kind: int | None) -> NetworkControl:
        """The same network shown this kind of picture; one of a single kind is as it was.

        Raises NodeError for a kind it does not have.
        """
        if not self.num_kinds:
            return self
        if kind is not None and kind >= self.num_kinds:
            raise NodeError(
                f"This ControlNet knows the first {self.num_kinds} kinds of picture; this is number {kind + 1}.",
                code="unknown_kind",
                hint='Choose another type, or "auto".',
                input="type",
            )
        return replace(self, kind=kind)

    def on_base(self, model: Any) -> NetworkControl:
        """The network itself: its file holds it whole."""
        return self

    def bound_to(self, denoiser: Any) -> NetworkControl:
        """The network with the heads of the model, which files do not tell. Raises NodeError for other sizes."""
        config = _with_heads(self.config, unet_sizes(denoiser, _WHAT))
        if config == self.config:
            return self
        heads = (config.encoder.num_heads, config.encoder.head_channels)
        identity = digest_value([self.source.identity, *heads])
        source = replace(self.source, identity=identity, build=partial(ControlNet, config))
        return replace(self, config=config, source=source)

    def prepare(self, image: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """The picture [n h w c] eight times as large as a latent of this size: [n 3 8h 8w]."""
        channels = self.config.hint_channels[0]
        return (fitted_picture(image, channels, height * HINT_SCALE, width * HINT_SCALE),)

    def residuals(self, hints: tuple[Tensor, ...], x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Residuals:
        """At strength 1, for x [b 4 h w] at network scale."""
        dtype = self.host.compute_dtype(self.source)

        def cast(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(dtype)

        def forward(module: nn.Module) -> Residuals:
            context, vector = cast(inputs.context), cast(inputs.vector)
            return module(cast(x), c_noise, context, vector, cast(hints[0]), self.kind)

        shape, count = (*x.shape[2:], inputs.num_tokens), x.shape[0]
        needed = self.host.activation_bytes(self.source, shape, count, self._activation_bytes(x, dtype))
        return self.host.run(
            self.source, forward, activation_bytes=needed, patches=self.patches, shape=shape, num_items=count
        )

    def _activation_bytes(self, x: Tensor, dtype: torch.dtype) -> int:
        """The first convolutions over the picture, then as the U-Net's way down, and a residual for each skip."""
        cells = x.shape[0] * x.shape[2] * x.shape[3]
        encoder = self.config.encoder
        per_level = 2 * (encoder.num_res_blocks + 1)
        skips = sum(per_level * mult / 4**level for level, mult in enumerate(encoder.channel_mult))
        shown = _FULL_SIZE_MAPS * self.config.hint_channels[1] * HINT_SCALE**2
        return int(cells * (encoder.model_channels * (skips + _CELL_MAPS) + shown) * dtype.itemsize)


@dataclass(frozen=True, slots=True)
class BasedControlNet:
    """A control network whose file holds only how it differs from the U-Net of a base model.

    The base is the model that is sampled, with its patches, or one given beforehand by `on_base`.

    own: the weights the file holds whole. changes: those it changes, by the name they have in the base.
    """

    config: ControlNetConfig
    identity: str
    own: WeightReader = field(repr=False)
    changes: Mapping[str, Change] = field(repr=False)
    digest: Callable[[], str] = field(repr=False)

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    @property
    def num_kinds(self) -> int:
        """None of these networks is for several kinds of picture."""
        return 0

    def with_kind(self, kind: int | None) -> BasedControlNet:
        """The same network: there is only one kind of picture."""
        return self

    def on_base(self, model: Any) -> NetworkControl:
        """The whole network on this model, whichever is sampled later. Raises NodeError for one of other sizes."""
        return self.bound_to(model)

    def bound_to(self, denoiser: Any) -> NetworkControl:
        """The whole network on this base. Raises NodeError for a model of other sizes."""
        config = _with_heads(self.config, unet_sizes(denoiser, _WHAT))
        base = denoiser.source
        misfits = [
            name
            for name, change in self.changes.items()
            if name not in base.weights.specs or not change.fits(base.weights.specs[name].shape)
        ]
        if misfits:
            raise NodeError(
                f"This ControlNet changes {len(misfits)} weight(s) the model does not have so: {misfits[0]}.",
                code="control_mismatch",
                hint="Use the base model it was made from, or a fine-tune of it.",
            )
        weights = ComposedWeights(((self.own, self.own.specs), (base.weights, self.changes)))
        identity = digest_value([self.identity, base.identity])
        source = replace(base, identity=identity, build=partial(ControlNet, config), weights=weights)
        added = AdapterPatch(self.identity, self.changes)
        patches = chosen_patches(denoiser.patches, self.changes).plus(PatchSet((added,)))
        return NetworkControl(config, source, denoiser.host, self.digest, None, patches)


def _with_heads(own: ControlNetConfig, model: UNetConfig) -> ControlNetConfig:
    """The sizes with the heads of the U-Net it is a copy of. Raises NodeError unless it fits that U-Net."""
    encoder = own.encoder
    ours = (encoder.model_channels, encoder.channel_mult, encoder.num_res_blocks, encoder.vector_width)
    theirs = (model.model_channels, model.channel_mult, model.num_res_blocks, model.vector_width)
    if ours != theirs or encoder.context_width not in (0, model.context_width):
        raise NodeError(
            f"This ControlNet was made for another kind of model: {_sizes(encoder)}; the model has {_sizes(model)}.",
            code="control_mismatch",
            hint="Use a ControlNet of the model's own family.",
        )
    heads = {"num_heads": model.num_heads, "head_channels": model.head_channels}
    return replace(own, encoder=replace(encoder, **heads))


def _sizes(config: UNetConfig) -> str:
    widths = ", ".join(str(config.model_channels * mult) for mult in config.channel_mult)
    return f"widths {widths}, text of {config.context_width}"
