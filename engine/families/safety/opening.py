"""Opening the published safety checker."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.families.autoencoder.opening import shapes_of
from engine.families.known_layouts import describe_layout
from engine.families.safety.handle import NetworkSafetyChecker
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.safety_checker import SafetyCheckerNetwork, safety_checker_config
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import KeyRule, read_part

__all__ = ["open_safety_checker"]

_HARMLESS = (KeyRule(r".*\.position_ids", ()),)
"""The numbers of the places, which older versions of the library stored."""


def open_safety_checker(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkSafetyChecker:
    """The safety checker of a file. Reads headers only.

    Raises CheckpointError naming what the file holds when it is none, or which keys do not fit.
    """
    config = safety_checker_config(checkpoint.shapes)
    if config is None:
        raise CheckpointError(
            f"{checkpoint.path.name} is {describe_layout(checkpoint.shapes)}, not a safety checker.",
            code="unknown_safety_checker",
            hint="It is the model.safetensors of a safety_checker folder of Stable Diffusion 1, with 17 concepts.",
        )

    def build() -> nn.Module:
        return SafetyCheckerNetwork(config)

    with torch.device("meta"):
        expected = shapes_of(build())
    reader = read_part(checkpoint, "", expected, _HARMLESS, "safety checker")
    identity = digest_bytes(checkpoint.identity.encode(), b"safety checker")
    source = NetworkSource(identity, "text_encoder", build, reader, file=checkpoint.path.name)
    return NetworkSafetyChecker(config, source, host, digest)
