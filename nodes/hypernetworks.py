"""Hypernetworks on models."""

from __future__ import annotations

from typing import Annotated

from engine.api import Context, Model, ModelFile, Range, node

__all__ = ["load_hypernetwork"]


@node("HypernetworkLoader", category="loaders", lane="io")
def load_hypernetwork(
    model: Model,
    hypernetwork_name: Annotated[str, ModelFile("hypernetworks")],
    ctx: Context,
    strength: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0,
) -> Model:
    """The model with small networks before the keys and values of its attention. No weight is changed."""
    return ctx.models.open_hypernetwork(ctx.model_path("hypernetworks", hypernetwork_name)).apply(model, strength)
