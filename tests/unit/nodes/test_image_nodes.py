"""Image nodes against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from node_context import KeepingContext

from engine.core.errors import NodeError
from nodes.image_batch import batch_images, image_from_batch, rebatch_images, repeat_image_batch
from nodes.image_files import load_image
from nodes.image_filters import (
    blend_images,
    blur_image,
    compress_like_video_frame,
    detect_edges,
    morph_image,
    quantize_image,
    sharpen_image,
)
from nodes.image_scale import (
    resize_and_pad_image,
    scale_image,
    scale_image_by,
    scale_image_for_kontext,
    scale_image_to_max_dimension,
    scale_image_to_total_pixels,
)
from nodes.image_transform import crop_image, flip_image, pad_image_for_outpaint, rotate_image, stitch_images
from nodes.image_values import (
    add_image_noise,
    empty_image,
    get_image_size,
    image_to_yuv,
    invert_image,
    yuv_to_image,
)

METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]


def ramp(width: int, height: int = 4, channels: int = 3) -> torch.Tensor:
    """Column k has the value k / (width - 1)."""
    return torch.linspace(0, 1, width).reshape(1, 1, width, 1).expand(1, height, width, channels).contiguous()


def size(image: torch.Tensor) -> tuple[int, int]:
    return image.shape[2], image.shape[1]


@pytest.mark.parametrize("method", METHODS)
def test_scaling_a_constant_image_keeps_the_constant(method: str) -> None:
    image = torch.full((2, 6, 8, 3), 51 / 255)
    scaled = scale_image(image, method, 20, 10, crop="disabled")
    assert scaled.shape == (2, 10, 20, 3)
    assert torch.allclose(scaled, torch.full_like(scaled, 0.2), atol=1e-6)


def test_nearest_exact_takes_the_pixel_under_each_centre() -> None:
    image = ramp(4)
    scaled = scale_image(image, "nearest-exact", 8, 4, crop="disabled")
    assert torch.equal(scaled[0, 0, :, 0], image[0, 0, [0, 0, 1, 1, 2, 2, 3, 3], 0])
    halved = scale_image(ramp(8), "nearest-exact", 4, 4, crop="disabled")
    assert torch.equal(halved[0, 0, :, 0], ramp(8)[0, 0, [1, 3, 5, 7], 0])


def test_area_averages_and_bilinear_samples_without_antialiasing() -> None:
    image = torch.tensor([0.0, 1, 0, 0, 1, 1, 0, 1]).reshape(1, 1, 8, 1)
    assert scale_image(image, "area", 2, 1, crop="disabled").ravel().tolist() == [0.25, 0.75]
    assert scale_image(image, "bilinear", 2, 1, crop="disabled").ravel().tolist() == [0.5, 0.5]


def cubic_weight(distance: float) -> float:
    """Keys 1981 with a = -0.75."""
    a, x = -0.75, abs(distance)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_bicubic_is_the_cubic_convolution_of_the_four_nearest_pixels() -> None:
    row = torch.tensor([0.1, 0.9, 0.3, 0.3, 0.7, 0.2])
    doubled = scale_image(row.reshape(1, 1, 6, 1), "bicubic", 12, 1, crop="disabled").ravel()
    for index in range(4, 8):
        centre = (index + 0.5) / 2 - 0.5
        wanted = sum(row[k].item() * cubic_weight(k - centre) for k in range(6))
        assert doubled[index].item() == pytest.approx(wanted, abs=1e-5)


def test_lanczos_works_in_whole_bytes_and_stays_in_range() -> None:
    step = torch.tensor([0.0, 0, 0, 1, 1, 1]).reshape(1, 1, 6, 1).expand(1, 6, 6, 3)
    scaled = scale_image(step, "lanczos", 12, 6, crop="disabled")
    assert torch.allclose(scaled * 255, (scaled * 255).round(), atol=1e-4)
    assert scaled.min() == 0
    assert scaled.max() == 1


def test_a_side_of_zero_follows_from_the_aspect_ratio() -> None:
    image = torch.rand(1, 30, 40, 3)
    assert scale_image(image, "area", 0, 0, crop="disabled") is image
    assert size(scale_image(image, "area", 20, 0, crop="disabled")) == (20, 15)
    assert size(scale_image(image, "area", 0, 10, crop="disabled")) == (13, 10)
    assert size(scale_image(torch.rand(1, 1, 400, 3), "area", 5, 0, crop="disabled")) == (5, 1)


def test_centre_crop_cuts_both_sides_evenly_before_scaling() -> None:
    image = ramp(9, 3)
    cropped = scale_image(image, "nearest-exact", 3, 3, crop="center")
    assert torch.equal(cropped, image[:, :, 3:6])
    tall = image.transpose(1, 2)
    assert torch.equal(scale_image(tall, "nearest-exact", 3, 3, crop="center"), tall[:, 3:6])


def test_scaling_by_a_factor_rounds_each_side() -> None:
    image = torch.rand(1, 5, 7, 3)
    assert size(scale_image_by(image, "area", 1.5)) == (round(10.5), round(7.5))
    assert size(scale_image_by(image, "area", 0.01)) == (1, 1)
    assert torch.equal(scale_image_by(image, "nearest-exact", 1.0), image)


def test_total_pixels_count_in_binary_megapixels() -> None:
    image = torch.zeros(1, 100, 400, 3)
    scaled = scale_image_to_total_pixels(image, "nearest-exact", 1.0)
    assert size(scaled) == (2048, 512)


def test_the_longer_side_gets_the_largest_size() -> None:
    for shape, wanted in (((50, 100), (64, 32)), ((100, 50), (32, 64)), ((70, 70), (64, 64))):
        assert size(scale_image_to_max_dimension(torch.zeros(1, *shape, 3), "area", 64)) == wanted
    image = torch.zeros(1, 5, 5, 3)
    assert scale_image_to_max_dimension(image, "area", 0) is image


def test_fitting_into_a_box_pads_evenly_with_the_colour() -> None:
    image = torch.full((1, 10, 20, 3), 0.5)
    fitted = resize_and_pad_image(image, 40, 40, padding_color="white", interpolation="area")
    assert size(fitted) == (40, 40)
    assert torch.all(fitted[:, 10:30] == 0.5)
    assert torch.all(fitted[:, :10] == 1)
    assert torch.all(fitted[:, 30:] == 1)
    black = resize_and_pad_image(image, 20, 11, padding_color="black", interpolation="bilinear")
    assert black[0, :, 0, 0].tolist() == [0.5] * 10 + [0.0]


def test_cropping_stays_inside() -> None:
    image = torch.rand(1, 6, 8, 3)
    assert torch.equal(crop_image(image, 3, 2, 4, 1), image[:, 1:3, 4:7])
    assert torch.equal(crop_image(image, 512, 512, 6, 5), image[:, 5:, 6:])
    assert torch.equal(crop_image(image, 4, 4, 99, 99), image[:, 5:, 7:])


def test_flips_and_rotations_move_pixels_as_named() -> None:
    image = torch.arange(6.0).reshape(1, 2, 3, 1) / 6  # rows 0 1 2 / 3 4 5
    rows = lambda value: (value[0, ..., 0] * 6).round().tolist()  # noqa: E731
    assert rows(flip_image(image, "x-axis: vertically")) == [[3, 4, 5], [0, 1, 2]]
    assert rows(flip_image(image, "y-axis: horizontally")) == [[2, 1, 0], [5, 4, 3]]
    assert rows(rotate_image(image, "90 degrees")) == [[3, 0], [4, 1], [5, 2]]
    assert rows(rotate_image(image, "180 degrees")) == [[5, 4, 3], [2, 1, 0]]
    assert rows(rotate_image(image, "270 degrees")) == [[2, 5], [1, 4], [0, 3]]
    assert torch.equal(rotate_image(image, "none"), image)


def test_outpainting_margins_are_grey_and_the_mask_falls_off_squared() -> None:
    image = torch.rand(2, 32, 48, 3)
    padded, mask = pad_image_for_outpaint(image, 8, 0, 16, 8, feathering=4)
    assert padded.shape == (2, 40, 72, 3)
    assert mask.shape == (1, 40, 72)
    assert torch.equal(padded[:, :32, 8:56], image)
    assert torch.all(padded[:, 32:] == 0.5)
    assert torch.all(mask[:, 32:] == 1)
    assert torch.all(mask[:, :, :8] == 1)
    # Away from the corners: 4 columns from the left edge, distance 0 at the edge pixel; the top has no margin.
    assert mask[0, 0, 8:13].tolist() == [1.0, (3 / 4) ** 2, (2 / 4) ** 2, (1 / 4) ** 2, 0.0]
    # From the right the pixel at the edge has distance 1.
    assert mask[0, 0, 52:56].tolist() == [0.0, (1 / 4) ** 2, (2 / 4) ** 2, (3 / 4) ** 2]


def test_too_wide_a_feather_is_ignored() -> None:
    _, mask = pad_image_for_outpaint(torch.rand(1, 16, 16, 3), 8, 8, 8, 8, feathering=8)
    assert torch.all(mask[:, 8:24, 8:24] == 0)


def test_stitching_puts_the_second_on_the_named_side() -> None:
    red, blue = torch.zeros(1, 4, 6, 3), torch.zeros(1, 4, 2, 3)
    red[..., 0], blue[..., 2] = 1, 1
    right = stitch_images(red, "right", True, 4, "white", blue)
    assert right.shape == (1, 4, 12, 3)
    assert torch.equal(right[:, :, :6], red)
    assert torch.all(right[:, :, 6:10] == 1)
    assert torch.equal(right[:, :, 10:], blue)
    left = stitch_images(red, "left", True, 0, "white", blue)
    assert torch.equal(left, torch.cat([blue, red], 2))
    down = stitch_images(red, "down", True, 1, "green", blue)
    assert down.shape == (1, 4 + 2 + 12, 6, 3)  # an odd strip grows by one; the second is scaled to width 6
    assert down[0, 4, 0].tolist() == [0, 1, 0]
    assert torch.equal(stitch_images(red, "up", True, 0, "white", None), red)


def test_stitching_without_matching_centres_the_smaller_on_black() -> None:
    tall, short = torch.ones(1, 7, 2, 3), torch.ones(2, 4, 3, 4)
    joined = stitch_images(tall, "right", False, 0, "white", short)
    assert joined.shape == (2, 7, 5, 4)
    assert joined[1, :, 4, 0].tolist() == [0, 1, 1, 1, 1, 0, 0]
    assert joined[0, :, 0, 3].tolist() == [1] * 7


def test_batching_scales_the_second_and_completes_alpha() -> None:
    first, second = torch.rand(2, 4, 4, 3), torch.full((1, 8, 12, 4), 0.25)
    batch = batch_images(first, second)
    assert batch.shape == (3, 4, 4, 4)
    assert torch.equal(batch[:2, ..., :3], first)
    assert torch.all(batch[:2, ..., 3] == 1)
    assert torch.allclose(batch[2], torch.full((4, 4, 4), 0.25))


def test_rebatching_regroups_in_order() -> None:
    images = torch.rand(5, 2, 2, 3)
    out = rebatch_images([images[:3], images[3:]], [2])
    assert [len(batch) for batch in out] == [2, 2, 1]
    assert torch.equal(torch.cat(out), images)
    with pytest.raises(NodeError, match="different sizes"):
        rebatch_images([torch.rand(1, 2, 2, 3), torch.rand(1, 3, 3, 3)], [2])
    assert len(rebatch_images([torch.rand(1, 2, 2, 3), torch.rand(1, 3, 3, 3)], [1])) == 2


def test_repeating_and_choosing_from_a_batch() -> None:
    images = torch.rand(3, 2, 2, 3)
    assert torch.equal(repeat_image_batch(images, 2), torch.cat([images, images]))
    assert torch.equal(image_from_batch(images, 1, 1), images[1:2])
    assert torch.equal(image_from_batch(images, 1, 99), images[1:])
    assert torch.equal(image_from_batch(images, 99, 5), images[2:])


def test_empty_images_have_the_packed_colour() -> None:
    image = empty_image(3, 2, 4, 0x33FF00)
    assert image.shape == (4, 2, 3, 3)
    assert torch.allclose(image[3, 1, 2], torch.tensor([0.2, 1.0, 0.0]))


def test_inverting_twice_is_the_identity() -> None:
    image = torch.tensor([0.0, 0.25, 1.0]).reshape(1, 1, 1, 3)
    assert invert_image(image).ravel().tolist() == [1.0, 0.75, 0.0]
    assert torch.equal(invert_image(invert_image(image)), image)


def test_noise_is_that_of_a_cpu_generator_with_the_seed() -> None:
    image = torch.full((1, 16, 16, 3), 0.5)
    noisy = add_image_noise(image, 2**64 - 1, 0.1)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(2**64 - 1))
    assert torch.equal(noisy, (0.5 + 0.1 * noise).clamp(0, 1))
    assert torch.equal(add_image_noise(image, 5, 0.0), image)
    assert add_image_noise(image, 5, 1.0).max() <= 1


def test_the_size_is_given_and_shown(ctx: KeepingContext) -> None:
    assert get_image_size(torch.zeros(3, 20, 10, 3), ctx) == (10, 20, 3)
    assert "width: 10, height: 20" in ctx.texts[0]


def test_yuv_of_grey_is_neutral_and_the_way_back_is_exact() -> None:
    grey = torch.full((1, 2, 2, 3), 0.3)
    luma, blueness, redness = image_to_yuv(grey)
    for plane, value in ((luma, 0.3), (blueness, 0.5), (redness, 0.5)):
        assert plane.shape == grey.shape
        assert torch.allclose(plane, torch.full_like(grey, value), atol=1e-6)
    red = torch.tensor([1.0, 0, 0]).reshape(1, 1, 1, 3)
    assert image_to_yuv(red)[0][0, 0, 0, 0].item() == pytest.approx(0.299)
    colours = torch.rand(2, 5, 5, 3)
    assert torch.allclose(yuv_to_image(*image_to_yuv(colours)), colours, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "a", "b", "wanted"),
    [
        ("normal", 0.2, 0.6, 0.6),
        ("multiply", 0.2, 0.6, 0.12),
        ("screen", 0.2, 0.6, 0.68),
        ("overlay", 0.2, 0.6, 0.24),
        ("overlay", 0.8, 0.6, 0.84),
        ("soft_light", 0.5, 0.25, 0.5 - 0.5 * 0.5 * 0.5),
        ("soft_light", 0.81, 0.75, 0.81 + 0.5 * (0.9 - 0.81)),
        ("difference", 0.8, 0.6, 0.2),
        ("difference", 0.2, 0.6, 0.0),
    ],
)
def test_blending_follows_the_formula_of_its_mode(mode: str, a: float, b: float, wanted: float) -> None:
    first, second = torch.full((1, 2, 2, 3), a), torch.full((1, 2, 2, 3), b)
    full = blend_images(first, second, 1.0, blend_mode=mode)
    assert torch.allclose(full, torch.full_like(first, wanted), atol=1e-6)
    assert torch.equal(blend_images(first, second, 0.0, blend_mode=mode), first)


def test_blending_fits_the_second_to_the_first() -> None:
    mixed = blend_images(torch.zeros(2, 4, 4, 3), torch.ones(1, 9, 12, 4), 0.25, blend_mode="normal")
    assert mixed.shape == (2, 4, 4, 3)
    assert torch.allclose(mixed, torch.full_like(mixed, 0.25), atol=1e-5)


def test_a_blurred_point_is_the_kernel() -> None:
    image = torch.zeros(1, 9, 9, 3)
    image[0, 4, 4] = 1
    blurred = blur_image(image, 2, 0.7)
    axis = torch.linspace(-1, 1, 5)
    weights = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 0.49))
    assert torch.allclose(blurred[0, 2:7, 2:7, 0], weights / weights.sum(), atol=1e-6)
    assert blurred.sum().item() == pytest.approx(3, abs=1e-4)
    assert blurred[0, 0].abs().max() == 0


def test_blur_mirrors_at_the_edge_pixel_even_when_larger_than_the_image() -> None:
    image = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1)
    blurred = blur_image(image, 3, 10.0)
    constant = blur_image(torch.full((1, 1, 1, 3), 0.4), 31, 1.0)
    assert torch.allclose(constant, torch.full_like(constant, 0.4), atol=1e-6)
    # Mirrored sequence around pixel 0: 1 0 1 [0] 1 0 1; nearly equal weights give 4/7, around pixel 1 the rest.
    assert blurred.ravel().tolist() == pytest.approx([4 / 7, 3 / 7], abs=0.01)


def test_sharpening_keeps_flat_areas_and_exaggerates_edges() -> None:
    flat = torch.full((1, 6, 6, 3), 0.4)
    assert torch.allclose(sharpen_image(flat, 2, 1.0, 1.0), flat, atol=1e-5)
    assert torch.allclose(sharpen_image(torch.rand(1, 6, 6, 3), 1, 1.0, 0.0).std(), torch.tensor(0.28), atol=0.1)
    image = torch.full((1, 1, 7, 1), 0.5)
    image[0, 0, 3] = 0.55
    blurred = blur_image(image, 1, 1.0)
    assert torch.allclose(sharpen_image(image, 1, 1.0, 0.2), (image + 2 * (image - blurred)).clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize("dither", ["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"])
def test_quantizing_leaves_at_most_the_asked_colours(ctx: KeepingContext, dither: str) -> None:
    photo, _ = load_image("photo.png", ctx)
    result = quantize_image(photo, 5, dither=dither)
    assert result.shape == photo.shape
    assert len(result.reshape(-1, 3).unique(dim=0)) <= 5
    assert (result - photo).abs().mean() < 0.15


@pytest.mark.parametrize("dither", ["floyd-steinberg", "bayer-4"])
def test_dithering_keeps_the_mean_between_two_palette_colours(dither: str) -> None:
    """A grey halfway between black and white, framed so that the palette has to hold both and little else."""
    image = torch.zeros(1, 96, 96, 3)
    image[:, :, 32:64] = 1
    image[:, 40:56, 40:56] = 0.5
    plain, dithered = (quantize_image(image, 2, dither=kind) for kind in ("none", dither))
    inside = (slice(None), slice(40, 56), slice(40, 56))
    assert (plain[inside].mean() - 0.5).abs() > 0.3
    assert (dithered[inside].mean() - 0.5).abs() < 0.12


def test_morphology_of_a_square_is_known() -> None:
    image = torch.zeros(1, 9, 9, 3)
    image[:, 3:6, 3:6] = 1
    count = lambda value: int(value[..., 0].sum())  # noqa: E731
    assert count(morph_image(image, "dilate", 3)) == 25
    assert count(morph_image(image, "erode", 3)) == 1
    assert torch.equal(morph_image(image, "open", 3), image)
    assert torch.equal(morph_image(image, "close", 3), image)
    assert count(morph_image(image, "gradient", 3)) == 24
    dotted = image.clone()
    dotted[:, 0, 0] = 1
    assert count(morph_image(dotted, "top_hat", 3)) == 1
    holed = image.clone()
    holed[:, 4, 4] = 0
    assert count(morph_image(holed, "bottom_hat", 3)) == 1
    assert torch.all(morph_image(image, "dilate", 999) == 1)


def test_edges_are_white_lines_at_a_step() -> None:
    image = torch.zeros(1, 24, 24, 3)
    image[:, :, 12:] = 1
    edges = detect_edges(image, 0.4, 0.8)
    assert edges.shape == image.shape
    assert set(edges.unique().tolist()) <= {0.0, 1.0}
    assert edges[0, 12, :, 0].nonzero().ravel().tolist() in ([11], [12], [11, 12])
    assert detect_edges(torch.zeros(1, 24, 24, 4), 0.4, 0.8).sum() == 0
    with pytest.raises(NodeError, match="above high_threshold"):
        detect_edges(image, 0.9, 0.1)


def test_an_empty_image_is_refused_by_name() -> None:
    with pytest.raises(NodeError) as caught:
        scale_image(torch.zeros(0, 4, 4, 3), "area", 4, 4, crop="disabled")
    assert caught.value.input == "image"
    assert math.isfinite(len(caught.value.hint))


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((64, 64), (1024, 1024)), ((10, 300), (672, 1568)), ((150, 100), (1248, 832)), ((160, 90), (1392, 752))],
)
def test_kontext_gets_the_trained_size_of_the_nearest_aspect_ratio(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    width, height = size
    scaled = scale_image_for_kontext(torch.rand(1, height, width, 3))
    assert scaled.shape == (1, wanted[1], wanted[0], 3)


def test_kontext_cuts_rather_than_distorts() -> None:
    image = torch.zeros(1, 100, 1000, 3)
    image[:, :, 400:600] = 1.0
    assert scale_image_for_kontext(image)[0, 300, 600].tolist() == [1.0] * 3
    assert (scale_image_for_kontext(image).mean() - 200 / 233).abs() < 0.01


@pytest.mark.parametrize(("factor", "step"), [(10, 2), (16, 5), (22, 9), (28, 19)])
def test_video_compression_of_noise_loses_what_the_quantiser_step_loses(factor: int, step: int) -> None:
    noise = torch.randn(256, 256, 1, generator=torch.Generator().manual_seed(0)) * 30 + 128
    image = (noise.clamp(0, 255).round() / 255).expand(1, -1, -1, 3)
    error = (compress_like_video_frame(image, factor) - image) * 255
    # Uniform errors of one step, then of rounding to a byte.
    assert error.square().mean().item() == pytest.approx((step**2 + 1) / 12, rel=0.05)


def test_video_compression_grows_with_its_factor_up_to_51_and_0_is_none() -> None:
    image = torch.rand(2, 32, 48, 3, generator=torch.Generator().manual_seed(1))
    assert compress_like_video_frame(image, 0) is image
    errors = [(compress_like_video_frame(image, factor) - image).square().mean().item() for factor in range(23, 52, 7)]
    assert errors == sorted(errors)
    assert len(set(errors)) == len(errors)
    assert torch.equal(compress_like_video_frame(image, 51), compress_like_video_frame(image, 100))


def test_video_frames_have_even_sides_and_no_alpha() -> None:
    assert compress_like_video_frame(torch.rand(1, 33, 47, 4)).shape == (1, 32, 46, 3)
    assert compress_like_video_frame(torch.rand(1, 1, 2, 3)).shape == (1, 1, 2, 3)
    flat = torch.full((1, 16, 16, 3), 128 / 255)
    assert torch.equal(compress_like_video_frame(flat, 35), flat)
