"""Opening the file of a control: a ControlNet in any of its forms, or a T2I-Adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.families.autoencoder.opening import shapes_of
from engine.families.control.adapter import NetworkFeatureAdapter
from engine.families.control.adapter_layouts import adapter_names, read_adapter_config
from engine.families.control.handle import BasedControlNet, NetworkControl
from engine.families.control.layouts import (
    KIND_RULES,
    ControlForm,
    control_names,
    find_form,
    read_config,
)
from engine.families.known_layouts import describe_layout
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.control_net import ControlNet, ControlNetConfig
from engine.nn.feature_adapter import FeatureAdapter
from engine.weights.adapters.difference import Difference
from engine.weights.adapters.lora import LowRank
from engine.weights.adapters.tensors import Change, StoredModule
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import KeyRule, read_part

__all__ = ["open_control"]

_POOLING_NAMES = ("_shuffle", "_shuffle_fp16")
"""How file names of networks end that add the mean over each map; nothing in the files tells."""


def open_control(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> Any:
    """The CONTROL_NET of a file. Reads headers only.

    Raises CheckpointError naming what the file holds when it is no control, or which keys do not fit.
    """
    form = find_form(checkpoint.shapes)
    if form is None:
        return _open_adapter(checkpoint, host, digest)
    renamed = checkpoint.renamed(control_names(checkpoint.shapes, form))
    config = read_config(renamed.shapes, pools_globally=checkpoint.path.stem.endswith(_POOLING_NAMES))
    if config is None:
        raise _unknown(checkpoint)

    def build() -> nn.Module:
        return ControlNet(config)

    with torch.device("meta"):
        expected = shapes_of(build())
    identity = digest_bytes(checkpoint.identity.encode(), b"control", str(config).encode())
    if form.form in (ControlForm.LORA, ControlForm.DIFFERENCE):
        make = _low_rank_changes if form.form is ControlForm.LORA else _whole_changes
        return _open_based(renamed, config, identity, expected, make(renamed, expected), digest)
    reader = read_part(renamed, "", expected, KIND_RULES, "ControlNet")
    source = NetworkSource(identity, "network", build, reader, repeats=True, file=checkpoint.path.name)
    return NetworkControl(config, source, host, digest)


def _open_based(
    checkpoint: Checkpoint,
    config: ControlNetConfig,
    identity: str,
    expected: Mapping[str, tuple[int, ...]],
    changes: Mapping[str, Change],
    digest: Callable[[], str],
) -> BasedControlNet:
    """A control that needs a base model; every weight is the file's own or a change of the base's."""
    own = {name: shape for name, shape in expected.items() if name not in changes}
    rules = (KeyRule(r".*\.(?:up|down)", ()), *(KeyRule(name.replace(".", r"\."), ()) for name in changes))
    reader = read_part(checkpoint, "", own, rules, "ControlNet")
    return BasedControlNet(config, identity, reader, changes, digest)


def _low_rank_changes(checkpoint: Checkpoint, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Change]:
    shapes = checkpoint.shapes
    changes: dict[str, Change] = {}
    for name in expected:
        module = name.removesuffix(".weight")
        keys = {"lora_up": f"{module}.up", "lora_down": f"{module}.down"}
        if all(key in shapes for key in keys.values()):
            stored = StoredModule(checkpoint, keys, {role: shapes[key] for role, key in keys.items()})
            changes[name] = LowRank(stored)
    return changes


def _whole_changes(checkpoint: Checkpoint, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Change]:
    """A difference for every weight a U-Net has as well."""
    in_base = ("time_embed.", "label_emb.", "input_blocks.", "middle_block.")
    shapes = checkpoint.shapes
    return {
        name: Difference(StoredModule(checkpoint, {"diff": name}, {"diff": shapes[name]}), "diff")
        for name in expected
        if name.startswith(in_base) and name in shapes
    }


def _open_adapter(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkFeatureAdapter:
    renamed = checkpoint.renamed(adapter_names(checkpoint.shapes))
    config = read_adapter_config(renamed.shapes)
    if config is None:
        raise _unknown(checkpoint)

    def build() -> nn.Module:
        return FeatureAdapter(config)

    with torch.device("meta"):
        expected = shapes_of(build())
    reader = read_part(renamed, "", expected, (), "T2I-Adapter")
    identity = digest_bytes(checkpoint.identity.encode(), b"adapter")
    source = NetworkSource(identity, "network", build, reader, file=checkpoint.path.name)
    return NetworkFeatureAdapter(config, source, host, digest)


def _unknown(checkpoint: Checkpoint) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.path.name} is {describe_layout(checkpoint.shapes)}, not a control that is known here.",
        code="unknown_control",
        hint="ControlNets, control-LoRAs, union ControlNets and T2I-Adapters of Stable Diffusion 1, 2 and XL are read.",
    )
