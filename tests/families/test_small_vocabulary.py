"""Text encoders with a truncated token table: the first merges of CLIP's list, start and end last."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import SettingsError
from engine.families.text.tokenizer import END_TOKEN, START_TOKEN, ClipTokenizer, vocabulary_path
from tests.tiny_sd1 import host_with, store_on, tiny_checkpoint

torch.set_num_threads(1)
VOCABULARY = 700
TABLE = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"


@pytest.fixture(scope="module")
def small() -> ClipTokenizer:
    return ClipTokenizer(vocabulary_path(), VOCABULARY)


@pytest.fixture(scope="module")
def full() -> ClipTokenizer:
    return ClipTokenizer(vocabulary_path())


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("small")
    tensors = load_file(tiny_checkpoint(folder))
    tensors[TABLE] = tensors[TABLE][:VOCABULARY].clone()
    save_file(tensors, folder / "small.safetensors")
    return store_on(host_with()).open_checkpoint(folder / "small.safetensors")[1]


def test_start_and_end_are_the_last_two_tokens(small: ClipTokenizer, full: ClipTokenizer) -> None:
    assert (small.start, small.end) == (VOCABULARY - 2, VOCABULARY - 1)
    assert (full.start, full.end) == (START_TOKEN, END_TOKEN)
    assert small.encode("<|endoftext|>") == [VOCABULARY - 1]


def test_frequent_words_keep_their_numbers_and_rare_ones_fall_into_more_pieces(small, full) -> None:
    assert small.encode("the") == full.encode("the")
    rare = "lighthouse"
    assert len(small.encode(rare)) > len(full.encode(rare)) == 1
    assert max(small.encode(f"{rare} 日本語 naïve 12 ...")) < VOCABULARY - 2


def test_pieces_of_a_rare_word_spell_it(small: ClipTokenizer) -> None:
    symbols = {number: symbol for symbol, number in small._ids.items()}
    assert "".join(symbols[token] for token in small.encode("Lighthouse")) == "lighthouse</w>"


def test_a_table_too_small_for_bytes_or_larger_than_the_list_is_refused() -> None:
    for vocabulary in (513, 49409):
        with pytest.raises(SettingsError, match=str(vocabulary)):
            ClipTokenizer(vocabulary_path(), vocabulary)


def test_a_checkpoint_with_a_small_table_is_tokenized_with_its_own_vocabulary(clip) -> None:
    (chunk,) = clip.tokenize("a lighthouse")["l"]
    ids = [token for token, _ in chunk]
    assert ids[0] == VOCABULARY - 2
    end = ids.index(VOCABULARY - 1)
    assert ids[end:] == [VOCABULARY - 1] * (77 - end)
    assert max(ids) < VOCABULARY


def test_the_pooled_output_of_a_small_table_is_read_at_its_own_end(clip) -> None:
    encoding = clip.encode("a lighthouse")
    end = [token for token, _ in clip.tokenize("a lighthouse")["l"][0]].index(VOCABULARY - 1)
    assert torch.allclose(encoding.pooled[0], encoding.context[0, end], atol=1e-6)


def test_weights_in_brackets_work_with_a_small_table(clip) -> None:
    plain, weighted = clip.encode("a lighthouse").context, clip.encode("a (lighthouse:1.5)").context
    assert torch.equal(plain[:, :2], weighted[:, :2])
    assert not torch.allclose(plain[:, 2], weighted[:, 2])
