"""Workflow files of any size, made of what a first workflow is made of."""

from __future__ import annotations

from typing import Any

__all__ = ["TYPES", "large_workflow"]

_KINDS: tuple[tuple[str, list[Any], list[tuple[str, str]], list[str], list[int]], ...] = (
    ("CheckpointLoaderSimple", ["a.safetensors"], [], ["MODEL", "CLIP", "VAE"], [315, 98]),
    ("CLIPTextEncode", ["a house under a full moon by the sea"], [("clip", "CLIP")], ["CONDITIONING"], [300, 200]),
    ("CLIPTextEncode", ["blurry, low contrast"], [("clip", "CLIP")], ["CONDITIONING"], [300, 200]),
    ("EmptyLatentImage", [512, 512, 1], [], ["LATENT"], [300, 106]),
    (
        "KSampler",
        [1, "fixed", 20, 8.0, "euler", "normal", 1.0],
        [("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"), ("latent_image", "LATENT")],
        ["LATENT"],
        [300, 262],
    ),
    ("VAEDecode", [], [("samples", "LATENT"), ("vae", "VAE")], ["IMAGE"], [210, 46]),
    ("SaveImage", ["picture"], [("images", "IMAGE")], [], [300, 270]),
)
_WIRES = (
    (0, 1, 1, 0), (0, 1, 2, 0), (0, 0, 4, 0), (1, 0, 4, 1), (2, 0, 4, 2), (3, 0, 4, 3), (4, 0, 5, 0), (0, 2, 5, 1),
    (5, 0, 6, 0),
)  # fmt: skip
_PER_ROW = 28
TYPES = tuple(dict.fromkeys(kind[0] for kind in _KINDS))
"""The node types in it."""


def large_workflow(num_nodes: int) -> dict[str, Any]:
    """A workflow file of so many nodes, side by side in rows, each group of seven linked as text to image is."""
    nodes = [_node(number) for number in range(num_nodes)]
    links: list[list[Any]] = []
    for first in range(0, num_nodes, len(_KINDS)):
        for origin, output, target, slot in _WIRES:
            if first + target >= num_nodes:
                continue
            sender, taker = nodes[first + origin], nodes[first + target]
            number = len(links) + 1
            kind = sender["outputs"][output]["type"]
            links.append([number, sender["id"], output, taker["id"], slot, kind])
            sender["outputs"][output]["links"].append(number)
            taker["inputs"][slot]["link"] = number
    return {
        "version": 0.4, "last_node_id": num_nodes, "last_link_id": len(links), "nodes": nodes, "links": links,
        "groups": [], "config": {}, "extra": {},
    }  # fmt: skip


def _node(number: int) -> dict[str, Any]:
    kind, values, inputs, outputs, size = _KINDS[number % len(_KINDS)]
    return {
        "id": number + 1, "type": kind, "pos": [number % _PER_ROW * 340, number // _PER_ROW * 340], "size": size,
        "mode": 0, "flags": {}, "order": number, "properties": {}, "widgets_values": values,
        "inputs": [{"name": name, "type": type_, "link": None} for name, type_ in inputs],
        "outputs": [{"name": name, "type": name, "links": []} for name in outputs],
    }  # fmt: skip
