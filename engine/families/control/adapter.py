"""The handle behind the CONTROL_NET socket when it is a T2I-Adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from engine.core.digest import digest_value
from engine.core.errors import NodeError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.families.control.picture import fitted_picture
from engine.families.steering import unet_sizes
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.control_net import HINT_SCALE
from engine.nn.feature_adapter import FeatureAdapterConfig
from engine.nn.residuals import Residuals
from engine.nn.unet_encoder import UNetConfig

__all__ = ["BoundFeatureAdapter", "NetworkFeatureAdapter"]

_XL_FOLD = 16
_MAPS = 4
"""Maps of the finest level's width that are held at once, for planning."""


@dataclass(frozen=True, slots=True)
class NetworkFeatureAdapter:
    """A T2I-Adapter: its features depend on the picture alone and are made once, when conditioning is prepared."""

    config: FeatureAdapterConfig
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    digest: Callable[[], str] = field(repr=False)

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        dtype = self.host.dtype_identity(self.source)
        return digest_value([self.source.identity, dtype, self.host.device.name])

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    @property
    def num_kinds(self) -> int:
        """Adapters are for one kind of picture."""
        return 0

    def with_kind(self, kind: int | None) -> NetworkFeatureAdapter:
        """The same adapter: there is only one kind of picture."""
        return self

    def on_base(self, model: Any) -> NetworkFeatureAdapter:
        """The adapter itself: its file holds it whole."""
        return self

    def bound_to(self, denoiser: Any) -> BoundFeatureAdapter:
        """The adapter with the places of its features. Raises NodeError for a model of other sizes."""
        model = unet_sizes(denoiser, "T2I-Adapter")
        places = _places(self.config, model)
        widths = [model.model_channels * _mult(model, place) for place in places]
        if widths != list(self.config.channels):
            raise NodeError(
                f"This T2I-Adapter makes features of widths {list(self.config.channels)}; the model takes {widths}.",
                code="control_mismatch",
                hint="Use an adapter of the model's own family.",
            )
        return BoundFeatureAdapter(self, places)

    def features(self, image: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """The features of a picture [n h w c] for a latent of this size, from the finest level."""
        fold = self.config.fold
        rows, columns = (-(-side * HINT_SCALE // fold) * fold for side in (height, width))
        hint = fitted_picture(image, self.config.hint_channels, rows, columns)
        device, dtype = self.host.device.torch, self.host.compute_dtype(self.source)
        moved = hint.to(device, dtype)

        def forward(module: nn.Module) -> tuple[Tensor, ...]:
            return tuple(module(moved))

        cells = hint.shape[0] * rows * columns // fold**2
        needed = cells * (self.config.channels[0] * _MAPS + self.config.hint_channels * fold**2) * dtype.itemsize
        return self.host.run(self.source, forward, activation_bytes=needed)


@dataclass(frozen=True, slots=True)
class BoundFeatureAdapter:
    """A T2I-Adapter and the input block each level's features are added to, None for the middle block."""

    adapter: NetworkFeatureAdapter
    places: tuple[int | None, ...]

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return digest_value([self.adapter.identity, list(self.places)])

    def prepare(self, image: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """The features of each level."""
        return self.adapter.features(image, height, width)

    def residuals(self, hints: tuple[Tensor, ...], x: Tensor, c_noise: Tensor, inputs: ConditionInputs) -> Residuals:
        """The features at their places."""
        found = dict(zip(self.places, hints, strict=True))
        middle = found.pop(None, None)
        return Residuals(inputs={place: hint for place, hint in found.items() if place is not None}, middle=middle)


def _places(config: FeatureAdapterConfig, model: UNetConfig) -> tuple[int | None, ...]:
    """The last block of each level; the XL form instead begins behind the first halving and ends in the middle."""
    per_level = model.num_res_blocks + 1
    last = [level * per_level + model.num_res_blocks for level in range(len(model.channel_mult))]
    if config.fold == _XL_FOLD:
        return (per_level, *last[1:], None)
    return tuple(last[: len(config.channels)])


def _mult(model: UNetConfig, place: int | None) -> int:
    """Width at an input block, in units of the model's."""
    if place is None:
        return model.channel_mult[-1]
    # The block that halves a level belongs to it; it comes right after the level's last one.
    level, within = divmod(place, model.num_res_blocks + 1)
    return model.channel_mult[level if within else level - 1]
