"""The first stage: from pictures to the latents a network is trained on, and back. It is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from engine.core.digest import digest_value
from engine.core.errors import CheckpointError
from engine.diffusion.latent_format import LatentFormat
from engine.nn.autoencoder import Autoencoder
from engine.training.context import BuildContext
from engine.training.randomness import StepChance
from engine.training.stored_weights import load_weights

__all__ = ["AutoencoderStage", "AutoencoderStageRecipe", "FirstStage", "IdentityStage", "IdentityStageRecipe"]

_ENCODED_AT_ONCE = 16


class FirstStage(Protocol):
    """Pictures [b c H W] in [-1, 1] ↔ latents [b c h w] in network scale."""

    @property
    def latent_format(self) -> LatentFormat:
        """Channels, size ratio and scale."""
        ...

    def encode(self, pixels: Tensor, chance: StepChance | None = None) -> Tensor:
        """Latents, float32; with a `chance` and if the recipe says so drawn from their distribution, else its mean."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Pictures, float32."""
        ...


@dataclass(frozen=True, slots=True)
class IdentityStageRecipe:
    """The network works on pixels."""

    kind: Literal["identity"] = "identity"
    num_channels: int = 3

    def build(self, context: BuildContext) -> IdentityStage:
        """The stage."""
        return IdentityStage(self.num_channels)


class IdentityStage(nn.Module):
    """Pictures are their own latents."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.latent_format = LatentFormat("pixels", num_channels, 1, 1.0)

    def encode(self, pixels: Tensor, chance: StepChance | None = None) -> Tensor:
        """The pictures."""
        return pixels

    def decode(self, latent: Tensor) -> Tensor:
        """The pictures."""
        return latent


@dataclass(frozen=True, slots=True)
class AutoencoderStageRecipe:
    """A KL autoencoder of a file (alone or within a checkpoint). network scale = (latent - shift) · scale.

    samples: draw latents from the encoder's distribution instead of taking its mean.
    """

    kind: Literal["autoencoder"]
    checkpoint: Path
    scale: float = 0.18215
    shift: float = 0.0
    samples: bool = False

    def build(self, context: BuildContext) -> AutoencoderStage:
        """The stage with its weights. Raises CheckpointError when the file holds no KL autoencoder."""
        from engine.families.autoencoder.forms import KlForm
        from engine.families.autoencoder.opening import open_autoencoder
        from engine.memory.device import cpu_device
        from engine.memory.network import NetworkHost
        from engine.weights.checkpoint import open_checkpoint
        from engine.weights.digests import MemoryDigestStore, content_digest

        path = context.path(self.checkpoint)
        digest = content_digest(path, MemoryDigestStore())
        with open_checkpoint(path) as checkpoint:
            # The host is where the handle would run; only its reader of weights is used.
            handle = open_autoencoder(checkpoint, NetworkHost(cpu_device(), 0), lambda: digest)
            if not isinstance(handle.form, KlForm):
                raise CheckpointError(f"{path.name} holds no KL autoencoder.", hint="Choose a VAE file.")
            autoencoder = Autoencoder(handle.form.config)
            load_weights(autoencoder, handle.source.weights)
        return AutoencoderStage(self, autoencoder, digest)


class AutoencoderStage(nn.Module):
    """Keys: autoencoder.… Fulfils `engine.training.data.latent_encoder.LatentEncoder`, too."""

    def __init__(self, recipe: AutoencoderStageRecipe, autoencoder: Autoencoder, file_digest: str) -> None:
        super().__init__()
        self.recipe = recipe
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.file_digest = file_digest
        config = autoencoder.config
        self.latent_format = LatentFormat(
            "autoencoder", config.latent_channels, config.downscale, recipe.scale, recipe.shift
        )

    @property
    def digest(self) -> str:
        """Equal digest, equal latents."""
        return digest_value([self.file_digest, self.recipe.scale, self.recipe.shift])

    def train(self, mode: bool = True) -> AutoencoderStage:
        """Stays in evaluation mode."""
        return super().train(False)  # type: ignore[return-value]

    @torch.no_grad()
    def encode(self, pixels: Tensor, chance: StepChance | None = None) -> Tensor:
        """Latents in network scale."""
        weight = next(self.autoencoder.parameters())
        moments = torch.cat([self.autoencoder.encode(part.to(weight)) for part in pixels.split(_ENCODED_AT_ONCE)])
        latent, log_variance = moments.float().chunk(2, dim=1)
        if self.recipe.samples and chance is not None:
            deviation = (0.5 * log_variance.clamp(-30.0, 20.0)).exp()
            latent = latent + deviation * chance.normal("posterior", latent.shape[1:])
        return self.latent_format.to_network(latent)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Pictures, nominally in [-1, 1]."""
        weight = next(self.autoencoder.parameters())
        inner = self.latent_format.from_network(latent).to(weight)
        return torch.cat([self.autoencoder.decode(part).float() for part in inner.split(_ENCODED_AT_ONCE)])
