"""Hypernetworks: their formula, their files, and that they leave the model as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.core.errors import CheckpointError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.nn.attention import CrossAttention
from nodes.hypernetworks import load_hypernetwork
from tests.tiny_families import layout_file
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)


def small_network(width: int, *, has_norm: bool) -> nn.Sequential:
    """As the web interface builds them: linear, activation, norm, dropout; none of them but linear and norm at last."""
    first = [nn.Linear(width, 2 * width), nn.Mish(), *([nn.LayerNorm(2 * width)] if has_norm else []), nn.Dropout(0.3)]
    return nn.Sequential(*first, nn.Linear(2 * width, width), *([nn.LayerNorm(width)] if has_norm else [])).eval()


def pickled(path: Path, pairs: dict[int, list[nn.Sequential]]) -> Path:
    tree = {
        width: [{f"linear.{name}": weight for name, weight in net.state_dict().items()} for net in nets]
        for width, nets in pairs.items()
    }
    torch.save({**tree, "activation_func": "mish", "is_layer_norm": True, "name": "small", "step": 20}, path)
    return path


class Context:
    def __init__(self, store, path: Path) -> None:
        self.models, self._path = store, path

    def model_path(self, folder: str, name: str) -> Path:
        return self._path


@pytest.mark.parametrize("has_norm", [False, True])
def test_keys_and_values_are_made_from_tokens_the_networks_have_changed(has_norm: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pairs = {width: [small_network(width, has_norm=has_norm) for _ in range(2)] for width in (32, 64)}
    store = store_on(host_with(), converted=tmp_path / "converted")
    model = store.open_checkpoint(shallow_checkpoint(tmp_path))[0]
    changed = load_hypernetwork(model, "x", Context(store, pickled(tmp_path / "hyper.pt", pairs)), strength=0.7)
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
    inputs = ConditionInputs(context=torch.randn(1, 5, 32))
    before = model.denoise(x, sigma, inputs)
    found = changed.denoise(x, sigma, inputs)
    original = CrossAttention.forward

    def reference(self: CrossAttention, tokens: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        keys, values = (context + 0.7 * net(context) for net in pairs[context.shape[-1]])
        query, key, value = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (
            self.to_q(tokens), self.to_k(keys), self.to_v(values)))  # fmt: skip
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.to_out(mixed.transpose(1, 2).flatten(2))

    try:
        CrossAttention.forward = reference
        wanted = model.denoise(x, sigma, inputs)
    finally:
        CrossAttention.forward = original
    assert torch.allclose(found, wanted, atol=1e-4)
    assert not torch.allclose(found, before, atol=1e-3)
    assert torch.equal(model.denoise(x, sigma, inputs), before)
    assert changed.identity != model.identity


def test_a_published_layout_opens_and_other_files_are_named(tmp_path: Path) -> None:
    store = store_on(host_with())
    edit = store.open_hypernetwork(layout_file("hypernetwork-sd15", tmp_path)).edit
    assert sorted(edit.networks) == [320, 640, 768, 1280]
    model = store.open_checkpoint(shallow_checkpoint(tmp_path))[0]
    assert load_hypernetwork(model, "x", Context(store, tmp_path / "hypernetwork-sd15.safetensors"), 0.0) is model
    with pytest.raises(CheckpointError, match="not a hypernetwork"):
        store.open_hypernetwork(layout_file("taesd-decoder", tmp_path))
