"""What is trained on Stable Diffusion 1 is trained on every family: their handles say all that differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.diffusion.condition_inputs import ConditionInputs
from engine.training.config.resolve import resolve
from engine.training.context import BuildContext
from engine.training.data.collate import Batch
from engine.training.recipe import TrainingRecipe
from tests.families.test_unet_families import SMALL
from tests.tiny_families import small_file
from tests.tiny_sd1 import host_with, store_on

torch.set_num_threads(1)
FAMILIES = ("sd2", "sdxl")
DATA = {"batch_size": 2, "source": {"kind": "synthetic", "fields": [{"key": "text", "values": "text"}]}}


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_file(request.param, tmp_path_factory.mktemp(request.param), SMALL[request.param])


def built(checkpoint: Path, model: dict[str, Any], export: dict[str, Any]):
    model = {"base": {"checkpoint": str(checkpoint)}, **model}
    plain = {"model": model, "data": DATA, "trainer": {"max_steps": 1}, "export": export}
    recipe = resolve(TrainingRecipe, plain)
    return recipe, recipe.model.build(BuildContext(checkpoint.parent))


def batch() -> Batch:
    sizes = torch.tensor([[64, 48], [64, 64]])
    return {
        "latent": torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)), "first_draw": 0,
        "text": ["a red fox", "a * house"], "original_size": sizes, "target_size": sizes,
        "crop_top_left": torch.zeros(2, 2, dtype=torch.int64),
    }  # fmt: skip


def trained(module) -> None:
    """One large step, as the optimizer would take it."""
    module.loss(batch(), 2).backward()
    with torch.no_grad():
        for parameter in module.trained_parameters().values():
            parameter -= 0.1 * torch.sign(parameter.grad)


def test_a_lora_of_network_and_text_encoders_is_loaded_as_it_was_trained(checkpoint: Path, tmp_path: Path) -> None:
    recipe, module = built(
        checkpoint, {"kind": "lora", "rank": 2, "text_encoder": True}, {"kind": "lora", "dtype": "fp32"}
    )
    trained(module)
    recipe.export.write(module, tmp_path / "lora.safetensors", {})
    store = store_on(host_with())
    model, clip, _ = store.open_checkpoint(checkpoint)
    warnings: list[str] = []
    changed, text = store.open_adapter(tmp_path / "lora.safetensors").apply(model, clip, warn=warnings.append)
    assert warnings == []
    with torch.no_grad():
        inputs = module.conditioner.conditional({"text": ["a fox"]}, torch.device("cpu"))
        x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
        learned = module.parameterization.denoise(module.predict, x, sigma, inputs)
    assert torch.allclose(text.encode("a fox").context, inputs.context, atol=1e-4)
    again = changed.denoise(x, sigma, ConditionInputs(context=inputs.context, vector=inputs.vector))
    assert torch.allclose(again, learned, atol=1e-4)
    assert not torch.allclose(model.denoise(x, sigma, inputs), learned, atol=1e-3)


def test_a_word_has_vectors_for_every_text_encoder(checkpoint: Path, tmp_path: Path) -> None:
    model = {"kind": "textual_inversion", "word": "subject", "initial": "fox", "num_vectors": 2}
    recipe, module = built(checkpoint, model, {"kind": "embedding"})
    trained(module)
    folder = tmp_path / "embeddings"
    folder.mkdir()
    recipe.export.write(module, folder / "subject.safetensors", {})
    learned = {parameter.shape: parameter.detach() for parameter in module.trained_parameters().values()}
    clip = store_on(host_with(), embeddings=folder).open_checkpoint(checkpoint)[1]
    tokens = clip.tokenize("embedding:subject")
    assert len(learned) == len(tokens) == len(load_file(folder / "subject.safetensors"))
    for chunks in tokens.values():
        vectors = torch.stack([entry[0] for entry in chunks[0][1:3]])
        assert torch.equal(vectors, learned[vectors.shape])


def test_a_fine_tuned_checkpoint_is_of_the_same_family_and_holds_what_was_trained(
    checkpoint: Path, tmp_path: Path
) -> None:
    export = {"kind": "checkpoint", "dtype": "fp32"}
    recipe, module = built(checkpoint, {"kind": "fine_tune", "text_encoder": True}, export)
    trained(module)
    recipe.export.write(module, tmp_path / "model.safetensors", {})
    before, after = load_file(checkpoint), load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    model, clip, _ = store_on(host_with()).open_checkpoint(tmp_path / "model.safetensors")
    assert model.family == store_on(host_with()).open_checkpoint(checkpoint)[0].family
    with torch.no_grad():
        inputs = module.conditioner.conditional({"text": ["a fox"]}, torch.device("cpu"))
    assert torch.allclose(clip.encode("a fox").context, inputs.context, atol=1e-4)
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
    with torch.no_grad():
        learned = module.parameterization.denoise(module.predict, x, sigma, inputs)
    assert torch.allclose(model.denoise(x, sigma, inputs), learned, atol=1e-4)
