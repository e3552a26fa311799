"""Nodes for tests that kill processes: pictures that are never the same twice, and a node that takes its time."""

from __future__ import annotations

import time

import torch

from engine.api import Float, Image, Int, String, node

__all__ = ["rest", "unlike_picture"]


@node("UnlikePicture", title="Unlike Picture", category="tests")
def unlike_picture(name: String = "", batch_size: Int = 1) -> Image:
    """Noise [b 32 32 3] from the system's own randomness: each attempt of a job makes other pictures."""
    generator = torch.Generator()
    generator.seed()
    return torch.rand((batch_size, 32, 32, 3), generator=generator)


@node("Rest", title="Rest", category="tests")
def rest(image: Image, seconds: Float = 0.05) -> Image:
    """The picture, a while later."""
    time.sleep(seconds)
    return image
