"""Tokenizer and text transformer against transformers and open_clip."""

from __future__ import annotations

import gzip
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.families.text.tokenizer import END_TOKEN, START_TOKEN, ClipTokenizer, vocabulary_path
from engine.nn.text_transformer import TextConfig, TextTransformer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import open_clip.tokenizer
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

TOLERANCE = 1e-5

SENTENCES = [
    "a photo of a cat",
    "Hello,   World's don't we'll I'm 123 4.5 !!! ... (x)",
    "naïve café ünïcödé — “quotes” 日本語 テスト 한국어 🦊🦊",
    "tabs\tand\nnewlines \r\n  spaces",
    "",
    "   ",
    "<|endoftext|> in the middle <|startoftext|>",
    "ﬁ ligature ½ ① ẞ İstanbul ǅ",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "a" * 300,
    "e\u0301 composed b\u200bzero",
]


@pytest.fixture(scope="module")
def ours() -> ClipTokenizer:
    return ClipTokenizer(vocabulary_path())


@pytest.fixture(scope="module")
def theirs() -> CLIPTokenizer:
    lines = gzip.decompress(vocabulary_path().read_bytes()).decode().split("\n")[1:48895]
    vocabulary = open_clip.tokenizer.SimpleTokenizer().encoder
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    return CLIPTokenizer(
        vocab={names.get(word, word): number for word, number in vocabulary.items()},
        merges=[tuple(line.split()) for line in lines],
    )


@pytest.mark.parametrize("text", SENTENCES)
def test_tokens_are_those_of_transformers(text: str, ours: ClipTokenizer, theirs: CLIPTokenizer) -> None:
    wanted = theirs(text)["input_ids"]
    assert (wanted[0], wanted[-1]) == (START_TOKEN, END_TOKEN)
    assert ours.encode(text) == wanted[1:-1]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=40))
def test_tokens_of_any_text_are_those_of_transformers(text: str, ours: ClipTokenizer, theirs: CLIPTokenizer) -> None:
    assert ours.encode(text) == theirs(text)["input_ids"][1:-1]


@pytest.mark.parametrize("text", ["a photo of a cat", "don't stop 42 (times)!", "supercalifragilistic naïve 日本語"])
def test_tokens_are_those_of_open_clip(text: str, ours: ClipTokenizer) -> None:
    assert ours.encode(text) == open_clip.tokenizer.SimpleTokenizer().encode(text)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("projection", [None, 12])
def test_the_text_transformer_computes_what_transformers_computes(activation: str, projection: int | None) -> None:
    torch.manual_seed(0)
    config = TextConfig(16, 3, 2, 40, 100, 20, activation, projection)
    their_config = CLIPTextConfig(
        vocab_size=100, hidden_size=16, intermediate_size=40, projection_dim=projection or 16, num_hidden_layers=3,
        num_attention_heads=2, max_position_embeddings=20, hidden_act=activation, bos_token_id=98, eos_token_id=99,
    )  # fmt: skip
    theirs = (CLIPTextModel if projection is None else CLIPTextModelWithProjection)(their_config).eval()
    ours = TextTransformer(config).eval()
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.normal_(0, 0.2)
        weights = {n: w for n, w in theirs.state_dict().items() if not n.endswith("position_ids")}
        has_prefix = any(name.startswith("text_model.") for name in weights)
        renamed = {
            n if has_prefix or n.startswith("text_projection") else f"text_model.{n}": w for n, w in weights.items()
        }
        ours.load_state_dict(renamed)
        tokens = torch.randint(0, 98, (2, 20))
        ends = torch.tensor([7, 19])
        tokens[torch.arange(2), ends] = 99
        wanted = theirs(tokens, output_hidden_states=True)
        norm = theirs.text_model.final_layer_norm if hasattr(theirs, "text_model") else theirs.final_layer_norm
        for layer in (-1, -2, -3):
            found = ours(tokens, ends, last_layer=layer)
            assert torch.allclose(found.hidden, norm(wanted.hidden_states[layer]), atol=TOLERANCE)
            pooled = wanted.pooler_output if projection is None else wanted.text_embeds
            assert torch.allclose(found.pooled, pooled, atol=TOLERANCE)
        beyond = ours(tokens, ends, last_layer=-9)
        assert torch.equal(beyond.hidden, ours(tokens, ends).hidden)
