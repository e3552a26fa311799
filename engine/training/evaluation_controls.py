"""How well pictures follow what a control was shown: the same thing is made of the picture again, and compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from engine.training.config.resolve import resolve
from engine.training.control.colours import ColourCellsRecipe
from engine.training.control.edges import CannyRecipe
from engine.training.control.recipe import HINT_ENTRY, HintRecipe
from engine.training.postcards.colour_reading import lab
from engine.weights.checkpoint import open_checkpoint

__all__ = ["EDGE_TOLERANCE_PX", "agreement", "agreement_title", "colour_distance", "edge_f1", "hint_of", "trained_hint"]

EDGE_TOLERANCE_PX = 2
"""How far an edge may lie from where it was asked for, along either axis; a quarter of a latent cell at 256 pixels."""


def trained_hint(path: Path) -> HintRecipe:
    """What a control of our own was shown, by its file's header; edges with the usual thresholds where it says nothing.

    Raises CheckpointError for a file that cannot be read.
    """
    with open_checkpoint(path) as file:
        entry = file.metadata.get(HINT_ENTRY)
    plain = {} if entry is None else json.loads(entry)
    return resolve(ColourCellsRecipe if plain.get("kind") == "colour_cells" else CannyRecipe, plain)


def hint_of(recipe: HintRecipe, picture: np.ndarray) -> np.ndarray:
    """What a control is shown of a picture uint8 [h w 3]: uint8 [h w 3]."""
    pixels = torch.from_numpy(picture).movedim(2, 0)[None].float() / 127.5 - 1
    return recipe.hint(pixels)[0].movedim(0, 2).mul(255).round().to(torch.uint8).numpy()


def agreement(recipe: HintRecipe, picture: np.ndarray, hint: np.ndarray) -> float:
    """How a picture follows a hint, both uint8 [h w 3]: F1 of edges, or the distance of colours (less is better)."""
    if isinstance(recipe, CannyRecipe):
        return edge_f1(hint_of(recipe, picture)[..., 0] > 127, hint[..., 0] > 127)
    return colour_distance(hint_of(recipe, picture), hint)


def agreement_title(recipe: HintRecipe) -> str:
    """What `agreement` is called in tables."""
    is_edges = isinstance(recipe, CannyRecipe)
    return f"edge F1 ({EDGE_TOLERANCE_PX} px)" if is_edges else f"colour distance (ΔE, {recipe.cell_px} px)"


def edge_f1(found: np.ndarray, wanted: np.ndarray, tolerance_px: int = EDGE_TOLERANCE_PX) -> float:
    """Harmonic mean of precision and recall of edges bool [h w], in [0, 1].

    An edge pixel counts as met when the other map has one at most `tolerance_px` away along each axis. Thick or doubled
    edges therefore cost nothing by themselves, and pictures full of edges lose precision only where none are wanted.
    Source: Martin et al. 2004, "Learning to detect natural image boundaries", with a fixed distance for the matching.
    """
    if not found.any() and not wanted.any():
        return 1.0
    if not found.any() or not wanted.any():
        return 0.0
    precision = float(_widened(wanted, tolerance_px)[found].mean())
    recall = float(_widened(found, tolerance_px)[wanted].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def colour_distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Mean distance in CIELAB (CIE 1976) of two pictures uint8 [h w 3]; 2 can just be seen, 100 is black on white."""
    return float(np.linalg.norm(lab(found) - lab(wanted), axis=-1).mean())


def _widened(edges: np.ndarray, reach_px: int) -> np.ndarray:
    """True within this distance of an edge, along both axes."""
    plane = torch.from_numpy(edges.astype(np.float32))[None, None]
    return functional.max_pool2d(plane, 2 * reach_px + 1, stride=1, padding=reach_px)[0, 0].numpy() > 0
