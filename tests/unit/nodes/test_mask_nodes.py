"""Masks and compositing against closed forms."""

from __future__ import annotations

import pytest
import torch

from engine.core.errors import NodeError
from engine.imaging import PORTER_DUFF_MODES
from nodes.compositing import (
    composite_images_masked,
    join_image_with_alpha,
    porter_duff_composite,
    split_image_with_alpha,
)
from nodes.mask import (
    combine_masks,
    crop_mask,
    feather_mask,
    grow_mask,
    image_color_to_mask,
    image_to_mask,
    invert_mask,
    mask_to_image,
    solid_mask,
    threshold_mask,
)


def point(size: int = 9) -> torch.Tensor:
    mask = torch.zeros(1, size, size)
    mask[0, size // 2, size // 2] = 1
    return mask


def test_masks_and_images_convert_both_ways() -> None:
    mask = torch.rand(2, 3, 4)
    image = mask_to_image(mask)
    assert image.shape == (2, 3, 4, 3)
    for channel in ("red", "green", "blue"):
        assert torch.equal(image_to_mask(image, channel), mask)
    assert mask_to_image(mask[0]).shape == (1, 3, 4, 3)
    rgba = torch.rand(1, 2, 2, 4)
    assert torch.equal(image_to_mask(rgba, "alpha"), rgba[..., 3])
    with pytest.raises(NodeError, match="no alpha") as caught:
        image_to_mask(image, "alpha")
    assert caught.value.input == "channel"


def test_a_colour_mask_is_one_exactly_where_the_bytes_agree() -> None:
    image = torch.tensor([[[0.2, 1.0, 0.0], [0.2, 1.0, 1 / 255], [0.2005, 0.999, 0.001]]])[None]
    assert image_color_to_mask(image, 0x33FF00).ravel().tolist() == [1.0, 0.0, 1.0]


def test_solid_inverted_and_threshold_masks() -> None:
    assert torch.equal(solid_mask(0.25, 3, 2), torch.full((1, 2, 3), 0.25))
    assert torch.equal(invert_mask(solid_mask(0.25, 3, 2)), solid_mask(0.75, 3, 2))
    mask = torch.tensor([[0.0, 0.5, 0.51, 1.0]])
    assert threshold_mask(mask, 0.5).ravel().tolist() == [0, 0, 1, 1]


def test_cropping_a_mask_stays_inside_or_says_why_not() -> None:
    mask = torch.rand(1, 6, 8)
    assert torch.equal(crop_mask(mask, 4, 1, 3, 2), mask[:, 1:3, 4:7])
    assert torch.equal(crop_mask(mask, 6, 5, 512, 512), mask[:, 5:, 6:])
    with pytest.raises(NodeError) as caught:
        crop_mask(mask, 2, 6, 1, 1)
    assert caught.value.input == "y"


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        ("multiply", [0.0, 0.0, 0.12, 0.7]),
        ("add", [0.0, 1.0, 0.8, 1.0]),
        ("subtract", [0.0, 0.0, 0.0, 0.0]),
        ("and", [0.0, 0.0, 0.0, 1.0]),
        ("or", [0.0, 1.0, 1.0, 1.0]),
        ("xor", [0.0, 1.0, 1.0, 0.0]),
    ],
)
def test_mask_operations_follow_their_names(operation: str, wanted: list[float]) -> None:
    first = torch.tensor([[[0.0, 0.0, 0.2, 0.7]]])
    second = torch.tensor([[[0.0, 1.0, 0.6, 1.0]]])
    assert combine_masks(first, second, 0, 0, operation=operation).ravel().tolist() == pytest.approx(wanted)


def test_mask_operations_touch_only_the_covered_part() -> None:
    target = torch.full((1, 4, 6), 0.5)
    result = combine_masks(target, torch.ones(2, 3, 3), 4, 2, operation="add")
    assert result.shape == (2, 4, 6)
    assert torch.all(result[:, 2:, 4:] == 1)
    assert result.sum().item() == pytest.approx(2 * (20 * 0.5 + 4))
    assert torch.equal(combine_masks(target, torch.ones(1, 3, 3), 99, 99, operation="add"), target)


def test_feathering_multiplies_linear_ramps() -> None:
    mask = torch.ones(1, 4, 6)
    assert feather_mask(mask, 3, 0, 2, 0)[0, 0].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1 / 2])
    assert feather_mask(mask, 0, 2, 0, 4)[0, :, 0].tolist() == pytest.approx([0.5 * 1, 0.75, 0.5, 0.25])
    assert feather_mask(mask, 99, 0, 0, 0)[0, 0].tolist() == pytest.approx([k / 6 for k in range(1, 7)])
    assert torch.equal(feather_mask(mask, 0, 0, 0, 0), mask)


def test_growing_a_point_gives_a_diamond_or_a_square() -> None:
    y, x = torch.meshgrid(torch.arange(9) - 4, torch.arange(9) - 4, indexing="ij")
    for times in (1, 2, 3):
        assert torch.equal(grow_mask(point(), times, True)[0], (x.abs() + y.abs() <= times).float())
        square = torch.maximum(x.abs(), y.abs()) <= times
        assert torch.equal(grow_mask(point(), times, False)[0], square.float())
    assert torch.equal(grow_mask(point(), 0, True), point())


def test_shrinking_is_growing_of_the_inverse_and_large_values_fill_everything() -> None:
    mask = torch.rand(2, 12, 15)
    for tapered in (True, False):
        assert torch.allclose(grow_mask(mask, -3, tapered), 1 - grow_mask(1 - mask, 3, tapered))
        filled = grow_mask(mask, 16384, tapered)
        assert torch.equal(filled, mask.amax((1, 2), keepdim=True).expand_as(mask))
    grown = grow_mask(grow_mask(mask, 2, True), 3, True)
    assert torch.equal(grown, grow_mask(mask, 5, True))


def test_pasting_places_cuts_and_masks_the_source() -> None:
    target, source = torch.zeros(2, 6, 8, 3), torch.ones(1, 3, 4, 3)
    result = composite_images_masked(target, source, 6, 4)
    assert torch.all(result[:, 4:, 6:] == 1)
    assert result.sum() == 2 * 2 * 2 * 3
    mask = torch.full((1, 3, 4), 0.25)
    assert torch.all(composite_images_masked(target, source, 1, 1, False, mask)[:, 1:4, 1:5] == 0.25)
    assert torch.all(composite_images_masked(target, source, 0, 0, True) == 1)
    assert composite_images_masked(target, source, -2, -1).sum() == 2 * 2 * 2 * 3
    assert torch.all(composite_images_masked(target, source, -2, -1)[:, :2, :2] == 1)
    assert torch.equal(composite_images_masked(target, source, 99, 99), target)


def test_pasting_cuts_the_masks_of_sources_that_stick_out_on_the_left() -> None:
    mask = torch.tensor([[0.0, 0.25, 0.5, 1.0]])
    result = composite_images_masked(torch.zeros(1, 1, 4, 3), torch.ones(1, 1, 4, 3), -2, 0, False, mask)
    assert result[0, 0, :, 0].tolist() == [0.5, 1.0, 0.0, 0.0]


def test_pasting_gives_the_destinations_channels() -> None:
    rgba, rgb = torch.zeros(1, 2, 2, 4), torch.full((1, 2, 2, 3), 0.5)
    assert composite_images_masked(rgba, rgb)[0, 0, 0].tolist() == [0.5, 0.5, 0.5, 1.0]
    assert composite_images_masked(rgb, rgba)[0, 0, 0].tolist() == [0.0, 0.0, 0.0]


def test_alpha_splits_off_inverted_and_joins_back() -> None:
    rgba = torch.rand(2, 3, 4, 4)
    colours, mask = split_image_with_alpha(rgba)
    assert torch.equal(colours, rgba[..., :3])
    assert torch.allclose(mask, 1 - rgba[..., 3])
    assert torch.allclose(join_image_with_alpha(colours, mask), rgba, atol=1e-6)
    assert torch.equal(split_image_with_alpha(colours)[1], torch.zeros(2, 3, 4))
    assert join_image_with_alpha(colours, torch.full((1, 9, 9), 0.25)).shape == (1, 3, 4, 4)


def composite(mode: str, cover_s: float, cover_d: float, s: float = 0.8, d: float = 0.4) -> tuple[float, float]:
    image, mask = porter_duff_composite(
        torch.full((1, 1, 1, 3), s),
        torch.full((1, 1, 1), 1 - cover_s),
        torch.full((1, 1, 1, 3), d),
        torch.full((1, 1, 1), 1 - cover_d),
        mode,
    )
    return image[0, 0, 0, 0].item(), 1 - mask.item()


@pytest.mark.parametrize(
    ("mode", "color", "cover"),
    [
        ("ADD", (0.4 + 0.1) / 0.75, 0.75),
        ("CLEAR", 0.0, 0.0),
        ("DST", 0.4, 0.25),
        ("SRC", 0.8, 0.5),
        ("SRC_OVER", (0.4 + 0.5 * 0.1) / 0.625, 0.625),
        ("DST_OVER", (0.1 + 0.75 * 0.4) / 0.625, 0.625),
        ("SRC_IN", 0.8, 0.125),
        ("DST_IN", 0.4, 0.125),
        ("SRC_OUT", 0.8, 0.375),
        ("DST_OUT", 0.4, 0.125),
        ("SRC_ATOP", (0.25 * 0.4 + 0.5 * 0.1) / 0.25, 0.25),
        ("DST_ATOP", (0.5 * 0.1 + 0.75 * 0.4) / 0.5, 0.5),
        ("XOR", (0.75 * 0.4 + 0.5 * 0.1) / 0.5, 0.5),
        ("MULTIPLY", 0.4 * 0.1 / 0.125, 0.125),
        ("SCREEN", (0.4 + 0.1 - 0.04) / 0.625, 0.625),
        ("DARKEN", (0.75 * 0.4 + 0.5 * 0.1 + 0.1) / 0.625, 0.625),
        ("LIGHTEN", (0.75 * 0.4 + 0.5 * 0.1 + 0.4) / 0.625, 0.625),
        ("OVERLAY", 2 * 0.4 * 0.1 / 0.625, 0.625),
    ],
)
def test_compositing_modes_follow_porter_and_duff(mode: str, color: float, cover: float) -> None:
    """Source 0.8 covering half (premultiplied 0.4), destination 0.4 covering a quarter (premultiplied 0.1)."""
    assert composite(mode, 0.5, 0.25) == pytest.approx((min(color, 1.0), cover), abs=1e-5)


def test_opaque_over_hides_and_all_modes_stay_in_range() -> None:
    assert composite("SRC_OVER", 1.0, 1.0) == pytest.approx((0.8, 1.0))
    assert composite("OVERLAY", 1.0, 1.0, 0.6, 0.8) == pytest.approx((1 - 2 * 0.2 * 0.4, 1.0))
    for mode in PORTER_DUFF_MODES:
        image, mask = porter_duff_composite(
            torch.rand(2, 5, 6, 3), torch.rand(2, 5, 6), torch.rand(3, 4, 4, 3), torch.rand(3, 9, 9), mode
        )
        assert image.shape == (2, 4, 4, 3)
        assert mask.shape == (2, 4, 4)
        assert 0 <= image.min() <= image.max() <= 1
