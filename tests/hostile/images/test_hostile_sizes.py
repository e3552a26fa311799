"""Graphs that ask for terabytes: every node that multiplies sizes refuses before it allocates anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from engine.api import NodeError
from engine.imaging import match_latent, paste
from nodes.image_batch import batch_images, repeat_image_batch
from nodes.image_filters import blend_images
from nodes.image_scale import (
    resize_and_pad_image,
    scale_image,
    scale_image_by,
    scale_image_to_max_dimension,
    scale_image_to_total_pixels,
)
from nodes.image_transform import pad_image_for_outpaint, stitch_images
from nodes.image_values import empty_image
from nodes.latent_arithmetic import concat_latents
from nodes.latent_batch import batch_latents, latent_from_batch, rebatch_latents, repeat_latent_batch
from nodes.latent_empty import (
    empty_chroma_radiance_latent,
    empty_hunyuan_video_latent,
    empty_latent_image,
    empty_stable_cascade_latents,
)
from nodes.latent_transform import scale_latent, scale_latent_by
from nodes.mask import combine_masks, mask_to_image
from nodes.patterns import extract_by_pattern
from nodes.strings import concatenate_strings
from nodes.vae import encode_for_inpainting

HUGE = 16384


def claimed(*shape: int) -> torch.Tensor:
    """A tensor of that shape in four bytes of memory."""
    return torch.zeros(1).expand(shape)


def latent(*shape: int) -> dict[str, Any]:
    return {"samples": claimed(*shape)}


class CoarseVae:
    downscale = 8


wide, many = claimed(1, HUGE, HUGE, 3), claimed(1 << 20, 1, 1, 3)
wide_latent, many_latents = latent(1, 4, HUGE, HUGE), latent(1 << 20, 4, 1, 1)

REQUESTS: list[tuple[str, Callable[[], Any]]] = [
    ("batch_size", lambda: empty_image(HUGE, HUGE, 4096)),
    ("amount", lambda: repeat_image_batch(wide, 4096)),
    ("image2", lambda: batch_images(wide, many)),
    ("image2", lambda: blend_images(wide, many, blend_mode="normal")),
    ("width", lambda: scale_image(many, "area", HUGE, HUGE - 1, crop="disabled")),
    ("height", lambda: scale_image(claimed(1 << 20, 1, HUGE, 3), "area", 0, HUGE, crop="disabled")),
    ("scale_by", lambda: scale_image_by(claimed(64, HUGE, HUGE, 3), "bilinear", 8.0)),
    ("megapixels", lambda: scale_image_to_total_pixels(many, "bilinear", 16.0)),
    ("largest_size", lambda: scale_image_to_max_dimension(many, "area", HUGE)),
    ("target_height", lambda: resize_and_pad_image(many, HUGE, HUGE, padding_color="white", interpolation="area")),
    ("right", lambda: pad_image_for_outpaint(many, 8, 8, HUGE, HUGE - 8)),
    ("image2", lambda: stitch_images(wide, "right", True, 0, "white", claimed(1, 1, HUGE, 3))),
    ("image2", lambda: stitch_images(wide, "up", False, 0, "white", many)),
    ("source", lambda: combine_masks(claimed(1, HUGE, HUGE), claimed(1 << 20, 1, 1), operation="add")),
    ("mask", lambda: mask_to_image(claimed(4096, HUGE, HUGE))),
    ("mask", lambda: encode_for_inpainting(wide, CoarseVae(), claimed(1 << 20, 1, 1))),
    ("batch_size", lambda: empty_latent_image(HUGE, HUGE, 1 << 20)),
    ("length", lambda: empty_hunyuan_video_latent(HUGE, HUGE, 1 << 20, 1)),
    ("batch_size", lambda: empty_chroma_radiance_latent(HUGE, HUGE, 4096)),
    ("batch_size", lambda: empty_stable_cascade_latents(HUGE, HUGE, 4, 4096)),
    ("amount", lambda: repeat_latent_batch(wide_latent, 1024)),
    ("amount", lambda: repeat_latent_batch({**latent(2, 4, 8, 8), "noise_mask": claimed(2, 1, HUGE, HUGE)}, 1024)),
    ("samples2", lambda: batch_latents(wide_latent, many_latents)),
    ("samples2", lambda: concat_latents(latent(1 << 20, 4, 1, 1), latent(1, 4, 1, HUGE * HUGE), "x")),
    ("batch_size", lambda: rebatch_latents([{**latent(1 << 12, 1, HUGE, HUGE), "noise_mask": claimed(1, 1, 1, 1)}],
                                           [4096])),
    ("width", lambda: scale_latent(many_latents, "area", HUGE * 8, HUGE, crop="disabled")),
    ("scale_by", lambda: scale_latent_by(latent(1024, 4, HUGE, HUGE), "area", 8.0)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "request_"), REQUESTS)
def test_a_result_that_cannot_fit_is_refused_by_the_input_that_asks_for_it(
    name: str, request_: Callable[[], Any]
) -> None:
    with pytest.raises(NodeError) as caught:
        request_()
    assert caught.value.code == "result_too_large"
    assert caught.value.input == name
    assert name in caught.value.hint


def test_pasting_makes_nothing_larger_than_what_is_pasted_on() -> None:
    target = torch.zeros(2, 3, 4, 4)
    source, masks = claimed(1 << 20, 3, 64, 64), claimed(1 << 20, 2, 2)
    assert torch.equal(paste(target, source, -30, -30, masks), target)
    one_pixel = torch.ones(1 << 12, 3, 1, 1)
    assert paste(one_pixel, claimed(1, 3, HUGE, HUGE), 0, 0).sum() == 0


def test_a_latent_made_to_match_is_no_larger_than_the_one_it_matches() -> None:
    assert match_latent(torch.zeros(1, 4, 64, 64), claimed(1 << 24, 4, 1, 1)).shape == (1, 4, 64, 64)


def test_an_entry_taken_from_a_batch_takes_only_its_own_mask() -> None:
    batch = {**latent(1 << 20, 4, 1, 1), "noise_mask": claimed(3, 1, 1024, 1024)}
    assert latent_from_batch(batch, 5, 2)["noise_mask"].shape == (2, 1, 1024, 1024)


def test_texts_cannot_be_doubled_without_end() -> None:
    text = "x" * (33 << 20)
    with pytest.raises(NodeError) as caught:
        concatenate_strings(text, text)
    assert (caught.value.code, caught.value.input) == ("text_too_long", "string_b")


def test_overlapping_groups_cannot_make_a_short_text_long() -> None:
    with pytest.raises(NodeError) as caught:
        extract_by_pattern("ab" * 10_000, r"(?=(.*))", "All Groups")
    assert caught.value.code == "text_too_long"
