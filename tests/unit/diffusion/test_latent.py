from __future__ import annotations

import pytest
import torch

from engine.core.errors import NodeError
from engine.diffusion.latent import fit_mask, parse_latent, with_samples
from engine.diffusion.latent_format import LatentFormat

FORMAT = LatentFormat("f", num_channels=16, downscale=8, scale=1.5, shift=0.25, rgb_factors=((0.5, 0.0, -0.5),) * 16)


def test_a_mask_is_resized_to_the_latent_and_repeated_over_the_batch() -> None:
    mask = fit_mask(torch.ones(64, 96), torch.Size((3, 4, 8, 12)))
    assert mask.shape == (3, 1, 8, 12)
    assert torch.equal(mask, torch.ones(3, 1, 8, 12))


def test_masks_are_repeated_in_turn() -> None:
    masks = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    assert [float(plane.mean()) for plane in fit_mask(masks, torch.Size((3, 4, 8, 8)))] == [0.0, 1.0, 0.0]


def test_surplus_masks_are_dropped() -> None:
    assert fit_mask(torch.ones(5, 1, 8, 8), torch.Size((2, 4, 8, 8))).shape == (2, 1, 8, 8)


def test_a_latent_without_samples_is_refused() -> None:
    with pytest.raises(NodeError, match="samples"):
        parse_latent({"noise_mask": torch.ones(8, 8)})


def test_a_batch_index_that_does_not_fit_is_refused() -> None:
    with pytest.raises(NodeError, match="batch_index"):
        parse_latent({"samples": torch.zeros(2, 4, 8, 8), "batch_index": [0]})


def test_new_samples_keep_everything_else() -> None:
    value = {"samples": torch.zeros(1), "noise_mask": torch.ones(1), "more": 3}
    changed = with_samples(value, torch.ones(1))
    assert torch.equal(changed["samples"], torch.ones(1))
    assert changed["noise_mask"] is value["noise_mask"]
    assert changed["more"] == 3
    assert torch.equal(value["samples"], torch.zeros(1))


def test_network_scale_and_back_is_the_same_latent() -> None:
    latent = torch.randn(1, 16, 4, 4)
    assert torch.allclose(FORMAT.from_network(FORMAT.to_network(latent)), latent, atol=1e-6)


def test_an_empty_latent_is_widened_to_the_family_s_channels() -> None:
    assert FORMAT.with_channels(torch.zeros(2, 4, 8, 8)).shape == (2, 16, 8, 8)


def test_a_latent_with_content_is_never_widened() -> None:
    latent = torch.ones(2, 4, 8, 8)
    assert FORMAT.with_channels(latent) is latent


def test_a_preview_is_a_picture() -> None:
    picture = FORMAT.preview(torch.randn(2, 16, 5, 7))
    assert picture.shape == (2, 5, 7, 3)
    assert float(picture.min()) >= 0.0
    assert float(picture.max()) <= 1.0


def test_a_format_without_colours_has_no_preview() -> None:
    assert LatentFormat("f", 4, 8, 1.0).preview(torch.zeros(1, 4, 2, 2)) is None
