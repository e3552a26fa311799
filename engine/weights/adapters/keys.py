"""What the keys of adapter files say: which module they belong to, and what a tensor is to its algorithm."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine.weights.adapters.tensors import ALPHA, StoredModule, TensorSource

__all__ = ["AdapterModules", "read_modules"]

_ROLES: Mapping[str, str] = MappingProxyType({
    "lora_up.weight": "lora_up", "lora_down.weight": "lora_down", "lora_mid.weight": "lora_mid",
    "lora_B.weight": "lora_up", "lora_A.weight": "lora_down",
    "lora_B.default.weight": "lora_up", "lora_A.default.weight": "lora_down",
    "lora.up.weight": "lora_up", "lora.down.weight": "lora_down",
    "lora_linear_layer.up.weight": "lora_up", "lora_linear_layer.down.weight": "lora_down",
    "alpha": ALPHA, "lora.alpha": ALPHA,
    "dora_scale": "dora_scale", "lora_magnitude_vector": "magnitude", "lora_magnitude_vector.weight": "magnitude",
    "lora_magnitude_vector.default.weight": "magnitude",
    **{role: role for role in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
    **{role: role for role in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")},
    **{role: role for role in ("oft_blocks", "rescale", "diff", "diff_b", "w_norm", "b_norm")},
    **{f"{role}.weight": f"glora_{role}" for role in ("a1", "a2", "b1", "b2", "bm")},
})  # fmt: skip
"""Ends of keys, as kohya's scripts, LyCORIS, diffusers and PEFT write them, and the role of such a tensor."""

_END = re.compile(r"(.+?)\.(" + "|".join(sorted(map(re.escape, _ROLES), key=len, reverse=True)) + ")")
_PROCESSOR = re.compile(r"(.+)\.processor\.(to_[qkv]|to_out)_lora\.(up|down)\.weight")
_IN_PROCESSOR = {"to_out": "to_out.0"}
_PEFT_METADATA = "lora_adapter_metadata"
_NESTED, _BESIDE = "lora_weights.", "id_encoder."
"""In PhotoMaker's file: before the keys of its LoRA, and before those of the encoder beside it."""


@dataclass(frozen=True, slots=True)
class AdapterModules:
    """A source's tensors by module as the file spells it, and the keys whose end nothing is known about."""

    modules: Mapping[str, StoredModule]
    unknown: tuple[str, ...]


def read_modules(source: TensorSource) -> AdapterModules:
    """Group the tensors of an adapter file by module. Reads no tensor."""
    shapes = source.shapes
    groups: dict[str, dict[str, str]] = {}
    unknown: list[str] = []
    is_nested = any(key.startswith(_NESTED) for key in shapes)
    for key in shapes:
        if is_nested and key.startswith(_BESIDE):
            continue
        module, role = _split(key.removeprefix(_NESTED))
        if role:
            groups.setdefault(module, {})[role] = key
        else:
            unknown.append(key)
    options = _peft_options(source.metadata)
    modules = {
        module: StoredModule(
            source, keys, {role: shapes[key] for role, key in keys.items()}, _given_alpha(module, options, keys, shapes)
        )
        for module, keys in groups.items()
    }
    return AdapterModules(modules, tuple(unknown))


def _split(key: str) -> tuple[str, str]:
    """Module and role; the role is "" when the key's end is unknown."""
    old = _PROCESSOR.fullmatch(key)
    if old is not None:
        return f"{old[1]}.{_IN_PROCESSOR.get(old[2], old[2])}", f"lora_{old[3]}"
    match = _END.fullmatch(key)
    return (match[1], _ROLES[match[2]]) if match else (key, "")


def _peft_options(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """The options diffusers writes beside PEFT's tensors ("unet.lora_alpha" …); none when they cannot be read."""
    try:
        options = json.loads(metadata.get(_PEFT_METADATA, "{}"))
    except ValueError:
        return {}
    return options if isinstance(options, dict) else {}


def _given_alpha(
    module: str, options: Mapping[str, Any], keys: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
) -> float | None:
    """alpha by the options of the module's model; with rank-stabilised scaling such that alpha/rank is that scale."""
    model, _, path = module.partition(".")
    patterns = options.get(f"{model}.alpha_pattern")
    alpha = (
        patterns.get(path) if isinstance(patterns, dict) and path in patterns else options.get(f"{model}.lora_alpha")
    )
    if not isinstance(alpha, (int, float)) or "lora_down" not in keys:
        return None
    rank = shapes[keys["lora_down"]][0]
    return float(alpha) * (math.sqrt(rank) if options.get(f"{model}.use_rslora") else 1.0)
