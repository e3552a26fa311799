"""LoRA, textual inversion and fine-tuning as runs of the trainer, on a shallow checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.diffusion.condition_inputs import ConditionInputs
from engine.families.adapters.fitting import open_adapter
from engine.training.checkpoints import newest_state
from engine.training.config.error import ConfigError
from engine.training.config.merge import merge, read_config
from engine.training.config.resolve import resolve
from engine.training.context import BuildContext
from engine.training.data.collate import Batch
from engine.training.recipe import TrainingRecipe
from engine.weights.checkpoint import open_checkpoint
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on
from tests.training.tiny_recipes import run

torch.set_num_threads(1)
RECIPES = Path(__file__).parents[2] / "models" / "configs" / "training"
DATA = {
    "batch_size": 2,
    "source": {
        "kind": "synthetic",
        "fields": [
            {"key": "latent", "values": "normal", "shape": [4, 8, 8]},
            {"key": "text", "values": "text"},
        ],
    },
}
TRAINER = {"max_steps": 2, "log_every": 1, "checkpoint_every": 1, "accelerator": "cpu", "accumulate": 1}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shallow_checkpoint(tmp_path_factory.mktemp("shallow"))


def wanted(checkpoint: Path, model: dict[str, Any], **more: Any) -> TrainingRecipe:
    base = {"checkpoint": str(checkpoint)}
    data = {"model": {"base": base}, "data": DATA, "trainer": TRAINER, "optimizer": {"learning_rate": 1e-2}}
    return resolve(TrainingRecipe, merge(merge(data, {"model": model}), more))


def lora(checkpoint: Path, **more: Any) -> TrainingRecipe:
    model = {"kind": "lora", "rank": 2, **more.pop("model", {})}
    return wanted(checkpoint, model, export={"kind": "lora", "dtype": "fp32"}, **more)


def example_batch(num: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(4)
    return {
        "latent": torch.randn(num, 4, 8, 8, generator=generator),
        "text": ["a red fox", "(a) blue house"][:num],
        "first_draw": 0,
    }


# ------------------------------------------------------------------ shipped recipes


@pytest.mark.parametrize("name", ["lora", "textual_inversion", "fine_tune"])
def test_a_shipped_recipe_builds_and_takes_two_steps(name: str, checkpoint: Path, tmp_path: Path) -> None:
    full = read_config([RECIPES / f"{name}.yaml"])
    resolve(TrainingRecipe, full)
    data = {**DATA, "latent_cache": None, "num_workers": 0}
    small = merge(full, {"model": {"base": {"checkpoint": str(checkpoint)}}, "data": data, "trainer": TRAINER})
    small["data"] = data
    result = run(tmp_path / "run", resolve(TrainingRecipe, small))
    assert (result.step, result.is_finished) == (2, True)
    assert 0 < result.loss < 100
    assert result.exported == tmp_path / "run" / full["export"]["file"]
    assert result.exported.is_file()


# ------------------------------------------------------------------ the loss is that of inference


def test_a_run_computes_what_the_loaded_model_computes(checkpoint: Path) -> None:
    module = lora(checkpoint).model.build(BuildContext(checkpoint.parent))
    model, clip, _ = store_on(host_with()).open_checkpoint(checkpoint)
    context = torch.cat([clip.encode("a red fox").context, clip.encode(r"\(a\) blue house").context])
    inputs = module.conditioner.conditional(example_batch(), torch.device("cpu"))
    assert torch.allclose(inputs.context, context, atol=1e-5)
    x, sigma = torch.randn(2, 4, 8, 8), torch.tensor([1.0, 5.0])
    with torch.no_grad():
        found = module.parameterization.denoise(module.predict, x, sigma, inputs)
    assert torch.allclose(found, model.denoise(x, sigma, ConditionInputs(context=context)), atol=1e-5)


def test_a_run_encodes_pictures_as_the_loaded_autoencoder_does(checkpoint: Path) -> None:
    module = lora(checkpoint).model.build(BuildContext(checkpoint.parent))
    model, _, vae = store_on(host_with()).open_checkpoint(checkpoint)
    image = torch.rand(1, 16, 16, 3)
    wanted_latent = model.latent_format.to_network(vae.encode(image))
    assert torch.allclose(module.first_stage.encode(image.movedim(-1, 1) * 2 - 1), wanted_latent, atol=1e-4)


# ------------------------------------------------------------------ LoRA


def test_a_lora_run_writes_a_file_that_gives_the_trained_network_and_text_encoder(
    checkpoint: Path, tmp_path: Path
) -> None:
    recipe = lora(checkpoint, model={"text_encoder": True, "targets": {"convolutions": True}}, trainer={"max_steps": 3})
    result = run(tmp_path, recipe)
    module = recipe.model.build(BuildContext(tmp_path))
    state = newest_state(tmp_path / "checkpoints")
    with torch.no_grad():
        for name, parameter in module.trained_parameters().items():
            parameter.copy_(state.weights[name])
    store = store_on(host_with())
    model, clip, _ = store.open_checkpoint(checkpoint)
    warnings: list[str] = []
    changed, text = store.open_adapter(result.exported).apply(model, clip, warn=warnings.append)
    assert warnings == []
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([3.0])
    with torch.no_grad():
        inputs = module.conditioner.conditional({"text": ["a fox"]}, torch.device("cpu"))
        learned = module.parameterization.denoise(module.predict, x, sigma, inputs)
    context = text.encode("a fox").context
    assert torch.allclose(context, inputs.context, atol=1e-5)
    assert not torch.allclose(context, clip.encode("a fox").context, atol=1e-4)
    assert torch.allclose(changed.denoise(x, sigma, ConditionInputs(context=context)), learned, atol=1e-5)
    with safe_open(result.exported, "pt") as file:
        facts = file.metadata()
    assert {key: facts[key] for key in ("ss_network_dim", "ss_network_alpha", "ss_steps", "atelier.seed")} == {
        "ss_network_dim": "2", "ss_network_alpha": "2", "ss_steps": "3", "atelier.seed": "0",
    }  # fmt: skip


def test_only_adapters_are_learned_and_saved(checkpoint: Path, tmp_path: Path) -> None:
    before = load_file(checkpoint)
    run(tmp_path, lora(checkpoint))
    names = newest_state(tmp_path / "checkpoints").weights
    assert all(name.endswith((".lora_up", ".lora_down")) for name in names)
    assert all(torch.equal(tensor, before[key]) for key, tensor in load_file(checkpoint).items())


def test_weights_may_be_held_narrow_and_activations_recomputed(checkpoint: Path) -> None:
    plain, small = (
        lora(checkpoint, model={"base": {"held": held, "uses_checkpointing": held == "bf16"}}).model.build(
            BuildContext(checkpoint.parent)
        )
        for held in ("fp32", "bf16")
    )
    first, second = (module.loss(example_batch(), 2) for module in (plain, small))
    assert torch.allclose(first, second, rtol=0.05)
    second.backward()
    assert all(parameter.grad is not None for parameter in small.trained_parameters().values())
    sizes = {
        p.dtype
        for name, p in small.named_parameters()
        if p.ndim > 1 and not p.requires_grad and "first_stage" not in name
    }
    assert torch.bfloat16 in sizes


def test_layers_of_the_text_encoder_that_are_not_used_are_not_learned(checkpoint: Path) -> None:
    model = {"text_encoder": True, "base": {"last_layer": -2}, "targets": {"layers": "attention"}}
    module = lora(checkpoint, model=model).model.build(BuildContext(checkpoint.parent))
    module.loss(example_batch(), 2).backward()
    learned = module.trained_parameters()
    assert all(parameter.grad is not None for parameter in learned.values())
    assert any(".layers.0." in name for name in learned)
    assert not any(".layers.1." in name for name in learned)


def test_a_lora_is_gone_on_with(checkpoint: Path, tmp_path: Path) -> None:
    first = run(tmp_path / "a", lora(checkpoint)).exported
    recipe = lora(checkpoint, model={"begin_with": str(first), "rank": 5})
    module = recipe.model.build(BuildContext(tmp_path))
    recipe.export.write(module, tmp_path / "again.safetensors", {})
    before, after = load_file(first), load_file(tmp_path / "again.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_run_that_was_stopped_goes_on_to_the_same_lora(checkpoint: Path, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", lora(checkpoint, trainer={"max_steps": 4}))
    run(tmp_path / "parts", lora(checkpoint, trainer={"max_steps": 4}), should_stop=lambda: True)
    parts = run(tmp_path / "parts", lora(checkpoint, trainer={"max_steps": 4}), resumes=True)
    one, two = load_file(whole.exported), load_file(parts.exported)
    assert all(torch.equal(one[key], two[key]) for key in one)


# ------------------------------------------------------------------ textual inversion


def word(checkpoint: Path, **more: Any) -> TrainingRecipe:
    model = {
        "kind": "textual_inversion",
        "word": "subject",
        "num_vectors": 3,
        "initial": "fox",
        **more.pop("model", {}),
    }
    return wanted(checkpoint, model, export={"kind": "embedding", **more.pop("export", {})}, **more)


@pytest.mark.parametrize("file", ["subject.safetensors", "subject.pt"])
def test_a_learned_word_is_a_file_that_prompts_can_name(checkpoint: Path, tmp_path: Path, file: str) -> None:
    recipe = word(checkpoint, export={"file": file})
    result = run(tmp_path / "run", recipe)
    weights = newest_state(tmp_path / "run" / "checkpoints").weights
    (vectors,) = weights.values()
    assert vectors.shape == (3, 32)
    folder = tmp_path / "embeddings"
    folder.mkdir()
    result.exported.rename(folder / file)
    warnings: list[str] = []
    clip = store_on(host_with(), embeddings=folder, converted=tmp_path / "converted").open_checkpoint(checkpoint)[1]
    tokens = clip.tokenize("a embedding:subject here", warn=warnings.append)["l"][0]
    assert warnings == []
    assert torch.equal(torch.stack([entry[0] for entry in tokens[2:5]]), vectors)


def test_a_word_begins_as_the_tokens_of_a_text_and_moves(checkpoint: Path, tmp_path: Path) -> None:
    recipe = word(checkpoint)
    module = recipe.model.build(BuildContext(tmp_path))
    first = next(iter(module.trained_parameters().values())).detach().clone()
    clip = store_on(host_with()).open_checkpoint(checkpoint)[1]
    row = clip.source.weights.read("text_model.embeddings.token_embedding.weight")[clip.tokenize("fox")["l"][0][1][0]]
    assert torch.equal(first, row.expand(3, 32))
    module.loss({**example_batch(), "text": ["", ""]}, 2).backward()
    assert float(next(iter(module.trained_parameters().values())).grad.abs().sum()) > 0


def test_captions_say_where_the_word_stands_and_templates_serve_where_they_do_not(checkpoint: Path) -> None:
    model = word(checkpoint, model={"templates": ["a {word}", "{word} there"]}).model
    assert model.rewrite("a photo of *, red", 0) == "a photo of embedding:subject , red"
    assert [model.rewrite("no place", draw) for draw in range(3)] == [
        "a embedding:subject", "embedding:subject there", "a embedding:subject",
    ]  # fmt: skip
    model = word(checkpoint, model={"placeholder": "red fox"}).model
    assert model.rewrite("two red foxs, a red fox.", 0) == "two embedding:subject , a embedding:subject ."


# ------------------------------------------------------------------ fine-tuning


def test_a_fine_tuned_checkpoint_has_the_keys_of_its_base_and_the_weights_that_were_trained(
    checkpoint: Path, tmp_path: Path
) -> None:
    leftovers = {"betas": torch.arange(3.0), "model_ema.decay": torch.tensor(0.9)}
    base = tmp_path / "base.safetensors"
    save_file({**load_file(checkpoint), **leftovers}, base)
    recipe = wanted(
        base,
        {"kind": "fine_tune", "text_encoder": True, "ucg_rate": 0.0},
        export={"kind": "checkpoint", "dtype": "fp32"},
        ema={"decay": 0.5},
    )
    result = run(tmp_path / "run", recipe)
    before, after = load_file(base), load_file(result.exported)
    assert after.keys() == before.keys() - {"model_ema.decay"}
    for key in after:
        is_trained = key.startswith(("model.diffusion_model.", "cond_stage_model."))
        is_unused = key.endswith(("token_embedding.weight", "position_embedding.weight"))
        assert torch.equal(before[key], after[key]) != is_trained or is_unused, key
    ema = newest_state(tmp_path / "run" / "checkpoints").ema
    assert torch.equal(after["model.diffusion_model.out.2.weight"], ema["network.out.2.weight"])
    assert None not in store_on(host_with()).open_checkpoint(result.exported)


def test_the_file_of_the_base_is_untouched_by_training_all_its_weights(checkpoint: Path, tmp_path: Path) -> None:
    with open_checkpoint(checkpoint) as opened:
        key = "model.diffusion_model.out.2.weight"
        held = opened.tensor(key)
        before = held.clone()
        run(tmp_path, wanted(checkpoint, {"kind": "fine_tune"}))
        assert torch.equal(held, before)


def test_an_export_of_another_kind_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    recipe = replace(lora(checkpoint), export=word(checkpoint).export)
    module = recipe.model.build(BuildContext(tmp_path))
    with pytest.raises(ConfigError, match="does not make an embedding"):
        recipe.export.write(module, tmp_path / "x.safetensors", {})


def test_an_exported_lora_opens_as_an_adapter_of_every_algorithm(checkpoint: Path, tmp_path: Path) -> None:
    for algorithm in ("loha", "lokr", "oft"):
        recipe = lora(checkpoint, model={"algorithm": algorithm})
        module = recipe.model.build(BuildContext(tmp_path))
        path = tmp_path / f"{algorithm}.safetensors"
        recipe.export.write(module, path, {})
        with open_checkpoint(path) as source:
            assert len(open_adapter(path.name, source).content.modules) == len(
                recipe.model.targets.chosen(store_on(host_with()).open_checkpoint(checkpoint)[0].weight_shapes)
            )
