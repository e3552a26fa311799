"""PhotoMaker: a text in which one word means the person of some portraits."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import torch

from engine.api import (
    Clip,
    Conditioning,
    Context,
    Image,
    ModelFile,
    NodeError,
    PhotoMaker,
    Text,
    diffusion,
    node,
)

__all__ = ["encode_person", "load_photomaker"]

CATEGORY = "_for_testing/photomaker"
TRIGGER = "photomaker"
"""The word behind the one that means the person."""

_Entry = tuple[Any, ...]
"""(token, weight, number of its group), 0 for tokens that are no text."""


@node("PhotoMakerLoader", category=CATEGORY, experimental=True, schema_form=True, lane="io")
def load_photomaker(photomaker_model_name: Annotated[str, ModelFile("photomaker")], ctx: Context) -> PhotoMaker:
    """PhotoMaker's encoder of portraits, version 1, for Stable Diffusion XL."""
    return ctx.models.open_photomaker(ctx.model_path("photomaker", photomaker_model_name))


@node("PhotoMakerEncode", category=CATEGORY, experimental=True, schema_form=True, lane="device")
def encode_person(
    *,
    photomaker: PhotoMaker,
    image: Image,
    clip: Clip,
    text: Annotated[str, Text(multiline=True, dynamic_prompts=True)] = "photograph of photomaker",
    ctx: Context,
) -> Conditioning:
    """The text, in which the word before `photomaker` stands for the person of the portraits.

    Without that word it is a text like any other.
    """
    if clip is None:
        raise NodeError(
            "The clip input is empty.",
            code="missing_text_encoder",
            hint="The checkpoint has no text encoder; load one with a CLIP loader.",
            input="clip",
        )
    if TRIGGER in text:
        return diffusion.encoded_in_stages(clip, lambda stage: _encoded(photomaker, image, stage, text, ctx))
    ctx.warn(f"The text does not say {TRIGGER}, so the portraits count for nothing.")
    return diffusion.encoded_in_stages(clip, lambda stage: stage.encode(text, warn=ctx.warn))


def _encoded(photomaker: Any, image: torch.Tensor, clip: Any, text: str, ctx: Context) -> Any:
    """The text as the network sees it, the person's vectors in the place of the word's."""
    before, _, after = text.partition(TRIGGER)
    whole = clip.tokenize(f"{before.rstrip()} {after.lstrip()}", word_ids=True, warn=ctx.warn)
    place = sum(_num_words(chunk) for chunk in next(iter(clip.tokenize(before, word_ids=True).values())))
    _check(place, next(iter(whole.values()))[0], len(image))
    tokens = {key: [_repeated(chunks[0], place, len(image))] for key, chunks in whole.items()}
    encoding = clip.encode_tokens(tokens)
    context = encoding.context.clone()
    # The first token of a chunk marks its start, so the word is at its own number.
    context[0, place : place + len(image)] = photomaker.fused(image, context[0, place : place + len(image)])
    return replace(encoding, context=context)


def _check(place: int, chunk: list[_Entry], num_portraits: int) -> None:
    """Raise NodeError unless there is a word, in the first chunk, and room for it and its repetitions."""
    if place == 0:
        message = f"There is no word before {TRIGGER} that could mean the person."
    elif place > _num_words(chunk) or place + num_portraits > len(chunk) - 1:
        message = f"The text before {TRIGGER} and {num_portraits} portraits do not fit one chunk of tokens."
    else:
        return
    hint = f"Write, for example: photograph of a woman {TRIGGER}, in a garden."
    raise NodeError(message, code="bad_prompt", hint=hint, input="text")


def _num_words(chunk: list[_Entry]) -> int:
    """Tokens of text, which are as many for each encoder."""
    return sum(entry[2] != 0 for entry in chunk)


def _repeated(chunk: list[_Entry], place: int, times: int) -> list[tuple[Any, float]]:
    """A chunk in which the token at a place stands so many times; what no longer fits is cut off."""
    num_words = _num_words(chunk)
    start, words, rest = chunk[0], chunk[1 : num_words + 1], chunk[num_words + 1 :]
    more = [*words[: place - 1], *words[place - 1 : place] * times, *words[place:]][: len(chunk) - 2]
    end, padding = rest[0], rest[-1]
    filled = [start, *more, end, *[padding] * (len(chunk) - 2 - len(more))]
    return [(token, weight) for token, weight, _ in filled]
