"""The caption reader: what captions name, as a table, and a text encoder that learns to tell it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.training.caption_reader.claims import NUM_COLUMNS, NUM_ROWS, claims_of
from engine.training.caption_reader.recipe import CaptionReaderRecipe
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.data.batches import Batches
from engine.training.data.postcard_captions import PostcardCaptionsRecipe
from engine.training.data.source import OpenContext
from engine.training.embedders.clip_text import ClipTextRecipe
from engine.training.postcards.captions import Named, NamedBody, NamedObject, NamedRelation

torch.set_num_threads(1)
TEXT = ClipTextRecipe(
    "clip_text", width=64, num_layers=1, num_heads=1, inner_width=128, vocabulary=2048, is_trainable=True
)


def batches(size: int):
    context = OpenContext(Path(), 0)
    source = PostcardCaptionsRecipe().open(context)
    return iter(Batches(source, size, seed=0, reports=context.reports))


def test_a_caption_that_names_nothing_claims_nothing() -> None:
    assert claims_of(Named()).sum() == 0
    assert claims_of(Named()).shape == (NUM_ROWS, NUM_COLUMNS)


def test_every_word_of_a_caption_is_one_claim_about_its_thing() -> None:
    boat, bird = NamedObject("boat", 2, "red", "small"), NamedObject("bird", 3, None, None)
    one = claims_of(Named(objects=(boat,)))
    assert one.sum() == 4
    assert np.flatnonzero(one.sum(axis=1)).size == 1
    both = claims_of(Named(objects=(bird, boat), relation=NamedRelation(0, "above", 1)))
    assert both.sum() == 4 + 2 + 2
    scenery = Named(body=NamedBody("sun", "large"), time="day", weather="snow", land="sea", style="flat")
    assert claims_of(scenery).sum() == 6


def test_two_sides_of_a_relation_are_told_apart() -> None:
    boat, bird = NamedObject("boat", 1, "red", None), NamedObject("bird", 1, "blue", None)
    first = claims_of(Named(objects=(bird, boat), relation=NamedRelation(0, "left of", 1)))
    second = claims_of(Named(objects=(bird, boat), relation=NamedRelation(1, "left of", 0)))
    assert (first != second).sum() == 4


def test_a_text_encoder_learns_to_read_a_batch() -> None:
    module = CaptionReaderRecipe("caption_reader", TEXT).build(BuildContext(Path(), 0))
    batch = module.prepare(next(batches(8)))
    optimizer = torch.optim.Adam(module.trained_parameters().values(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = module.loss(batch, 8)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.15 * losses[0]
    assert set(module.exported()) == {f"{name}" for name in module.network.state_dict()}


def test_padding_that_all_captions_share_is_cut_and_changes_no_answer() -> None:
    module = CaptionReaderRecipe("caption_reader", TEXT).build(BuildContext(Path(), 0))
    batch = next(batches(4))
    tokens = module.prepare(batch)["tokens"]
    assert tokens.shape[1] < 77
    assert (tokens[:, -1] == 2047).all()


def test_data_without_claims_is_refused() -> None:
    module = CaptionReaderRecipe("caption_reader", TEXT).build(BuildContext(Path(), 0))
    with pytest.raises(ConfigError, match="no table of claims"):
        module.loss(module.prepare({"text": ["a house"], "first_draw": 0}), 1)
