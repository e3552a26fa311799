"""Torch's layers without random initialisation: weights come from a file, so building a network must cost nothing."""

from __future__ import annotations

from torch import nn

__all__ = ["Conv2d", "Embedding", "GroupNorm", "LayerNorm", "Linear"]


class Linear(nn.Linear):
    """As torch's, its weights undefined until they are loaded."""

    def reset_parameters(self) -> None:
        """Nothing to set."""


class Conv2d(nn.Conv2d):
    """As torch's, its weights undefined until they are loaded."""

    def reset_parameters(self) -> None:
        """Nothing to set."""


class GroupNorm(nn.GroupNorm):
    """As torch's, its weights undefined until they are loaded."""

    def reset_parameters(self) -> None:
        """Nothing to set."""


class LayerNorm(nn.LayerNorm):
    """As torch's, its weights undefined until they are loaded."""

    def reset_parameters(self) -> None:
        """Nothing to set."""


class Embedding(nn.Embedding):
    """As torch's, its rows undefined until they are loaded."""

    def reset_parameters(self) -> None:
        """Nothing to set."""
