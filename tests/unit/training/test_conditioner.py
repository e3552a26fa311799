"""Embedders and how their outputs are joined."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.nn.embeddings import sinusoidal_embedding
from engine.training.conditioner import ConditionerRecipe
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.embedders.class_labels import ClassRecipe
from engine.training.embedders.clip_text import ClipTextRecipe
from engine.training.embedders.sizes import SizeRecipe
from engine.training.embedders.spatial import SpatialRecipe
from engine.training.randomness import StepChance
from tests.tiny_sd1 import tiny_checkpoint

torch.set_num_threads(1)
CPU = torch.device("cpu")
CONTEXT = BuildContext(Path())


def text(**changes: object) -> ClipTextRecipe:
    sizes = {"width": 16, "num_layers": 2, "num_heads": 2, "inner_width": 32, "vocabulary": 600, "max_tokens": 12}
    return ClipTextRecipe("clip_text", **{**sizes, "is_trainable": True, **changes})


def build(*embedders: object, **options: object):
    return ConditionerRecipe(embedders, **options).build(CONTEXT)  # type: ignore[arg-type]


def chance(count: int) -> StepChance:
    return StepChance(0, 0, 0, count, count, CPU)


BATCH = {
    "text": ["a red house", "the sea"],
    "class": torch.tensor([3, 1]),
    "original_size": torch.tensor([[512, 768], [300, 200]]),
    "image": torch.rand(2, 3, 8, 8),
}


def test_outputs_go_by_their_axes_in_the_order_of_the_embedders() -> None:
    conditioner = build(
        ClassRecipe("class", 5, 7),
        text(pooled="also"),
        SizeRecipe("size", "original_size", 6),
        ClassRecipe("class", 5, 16, as_token=True),
        SpatialRecipe("spatial", "image"),
    )
    inputs = conditioner.conditional(BATCH, CPU)
    assert inputs.vector.shape == (2, 7 + 16 + 12)
    assert inputs.context.shape == (2, 12 + 1, 16)
    assert inputs.concat.shape == (2, 3, 4, 4)
    first, second, third, fourth, fifth = (part(BATCH, None, CPU) for part in conditioner.parts)
    assert torch.equal(inputs.vector, torch.cat([first[0], second[1], third[0]], dim=1))
    assert torch.equal(inputs.context, torch.cat([second[0], fourth[0]], dim=1))
    assert torch.equal(inputs.concat, fifth[0])


def test_contexts_are_joined_on_their_width_when_declared() -> None:
    inputs = build(text(), text(width=8, num_heads=1), context_axis="width").conditional(BATCH, CPU)
    assert inputs.context.shape == (2, 12, 24)
    with pytest.raises(ConfigError, match="cannot be joined along their tokens"):
        build(text(), text(width=8, num_heads=1)).conditional(BATCH, CPU)


def test_without_embedders_there_are_no_inputs() -> None:
    inputs = build().conditional(BATCH, CPU)
    assert (inputs.context, inputs.vector, inputs.concat) == (None, None, None)


def test_dropped_examples_get_zeros_and_the_rest_is_untouched() -> None:
    conditioner = build(ClassRecipe("class", 5, 7, ucg_rate=0.5))
    labels = torch.arange(5).repeat(40)
    kept = conditioner.conditional({"class": labels}, CPU).vector
    dropped = conditioner({"class": labels}, chance(200)).vector
    is_zero = (dropped == 0).all(dim=1)
    assert 70 < int(is_zero.sum()) < 130
    assert torch.equal(dropped[~is_zero], kept[~is_zero])


def test_a_dropped_text_is_the_empty_text() -> None:
    conditioner = build(text(ucg_rate=1.0))
    dropped = conditioner(BATCH, chance(2)).context
    assert torch.equal(dropped, conditioner.conditional({"text": ["", ""]}, CPU).context)
    assert torch.equal(dropped, conditioner.unconditional(BATCH, 2, CPU).context)


def test_a_class_may_stand_for_none() -> None:
    conditioner = build(ClassRecipe("class", 5, 7, ucg_rate=1.0, ucg_value=4))
    assert torch.equal(
        conditioner(BATCH, chance(2)).vector, conditioner.conditional({"class": torch.tensor([4, 4])}, CPU).vector
    )


def test_embedders_forget_independently_of_each_other() -> None:
    conditioner = build(ClassRecipe("class", 2, 4, ucg_rate=0.5), ClassRecipe("class", 2, 4, ucg_rate=0.5))
    vector = conditioner({"class": torch.zeros(400, dtype=torch.int64)}, chance(400)).vector
    first, second = (vector[:, :4] == 0).all(dim=1), (vector[:, 4:] == 0).all(dim=1)
    assert 60 < int((first & second).sum()) < 140


def test_only_embedders_with_a_rate_forget_for_the_unconditional_side() -> None:
    conditioner = build(ClassRecipe("class", 5, 4, ucg_rate=0.1), SizeRecipe("size", "original_size", 4))
    vector = conditioner.unconditional(BATCH, 2, CPU).vector
    assert torch.equal(vector[:, :4], torch.zeros(2, 4))
    assert torch.equal(vector[:, 4:], conditioner.conditional(BATCH, CPU).vector[:, 4:])


def test_sizes_are_embedded_number_by_number() -> None:
    vector = build(SizeRecipe("size", "original_size", 8)).conditional(BATCH, CPU).vector
    assert torch.equal(vector[0], sinusoidal_embedding(torch.tensor([512, 768]), 8).flatten())


def test_a_spatial_embedder_scales_in_stages_and_maps_channels() -> None:
    conditioner = build(SpatialRecipe("spatial", "image", num_stages=2, out_channels=5))
    assert conditioner.conditional(BATCH, CPU).concat.shape == (2, 5, 2, 2)


def test_tokens_made_ahead_replace_the_text() -> None:
    conditioner = build(text())
    tokens = conditioner.text.tokenize(BATCH["text"])
    assert tokens.shape == (2, 12)
    assert tokens[:, 0].tolist() == [598, 598]
    ahead = conditioner.conditional({"text_tokens": tokens.to(torch.int16)}, CPU)
    assert torch.equal(ahead.context, conditioner.conditional(BATCH, CPU).context)


def test_a_long_text_is_cut_and_still_ends() -> None:
    tokens = build(text()).text.tokenize(["one two three four five six seven eight nine ten eleven twelve"])
    assert tokens.shape == (1, 12)
    assert tokens[0, -1] == 599


def test_frozen_embedders_learn_nothing_and_stay_in_evaluation_mode() -> None:
    conditioner = build(ClassRecipe("class", 5, 4, is_trainable=False), ClassRecipe("class", 5, 4)).train()
    frozen, learned = conditioner.parts
    assert [p.requires_grad for p in (*frozen.parameters(), *learned.parameters())] == [False, True]
    assert (frozen.training, learned.training) == (False, True)
    assert conditioner(BATCH, chance(2)).vector.requires_grad


def test_a_text_encoder_of_a_checkpoint_computes_what_inference_computes(tmp_path: Path) -> None:
    from tests.tiny_sd1 import host_with, store_on

    path = tiny_checkpoint(tmp_path)
    clip = store_on(host_with()).open_checkpoint(path)[1]
    conditioner = build(ClipTextRecipe("clip_text", checkpoint=path, pooled="also", layer=-2))
    inputs = conditioner.conditional({"text": ["a red house"]}, CPU)
    wanted = clip.with_last_layer(-2).encode("a red house")
    assert torch.allclose(inputs.context, wanted.context, atol=1e-4)
    assert torch.allclose(inputs.vector, wanted.pooled, atol=1e-4)
    assert not inputs.context.requires_grad


def test_a_key_the_data_does_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'label'.*'class'"):
        build(ClassRecipe("class", 5, 4, input_key="label")).conditional({"class": torch.tensor([1])}, CPU)


def test_first_weights_depend_on_seed_and_part_alone() -> None:
    first, again = build(text(), text()), build(text(), text())
    weights = [part.transformer.text_model.embeddings.token_embedding.weight for part in (*first.parts, *again.parts)]
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])
    other = ConditionerRecipe((text(),)).build(BuildContext(Path(), seed=1))
    assert not torch.equal(other.text.transformer.text_model.embeddings.token_embedding.weight, weights[0])
    assert all(torch.isfinite(p).all() for p in first.parameters())
