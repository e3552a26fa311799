"""Pixel operations against closed forms, laws, and the libraries they agree with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.core.errors import NodeError
from engine.imaging import (
    RESIZE_METHODS,
    bayer_matrix,
    center_crop_to_aspect,
    convolve_reflected,
    dilate,
    dilate_cross,
    erode,
    erode_cross,
    gaussian_kernel,
    match_channels,
    repeat_to_batch,
    resize,
    resize_masks,
    rgb_to_ycbcr,
    sharpening_kernel,
    slerp,
    to_bytes,
    visible_span,
    ycbcr_to_rgb,
)
from engine.imaging.slerp import resize_bislerp

torch.set_num_threads(1)
sides = st.integers(1, 24)


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_every_method_keeps_the_input_at_its_own_size(method: str) -> None:
    tensor = (torch.rand(2, 3, 5, 7) * 255).round() / 255
    assert torch.allclose(resize(tensor, 7, 5, method), tensor, atol=1e-6)


@given(width=sides, height=sides, new_width=sides, new_height=sides)
@settings(max_examples=60, deadline=None)
def test_every_size_resizes_to_every_size(width: int, height: int, new_width: int, new_height: int) -> None:
    tensor = torch.rand(1, 3, height, width)
    for method in RESIZE_METHODS:
        for crop in ("disabled", "center"):
            assert resize(tensor, new_width, new_height, method, crop).shape == (1, 3, new_height, new_width)


@given(width=st.integers(1, 400), height=st.integers(1, 400), to_width=sides, to_height=sides)
@settings(max_examples=80, deadline=None)
def test_a_centre_crop_has_nearly_the_wanted_aspect_and_even_margins(
    width: int, height: int, to_width: int, to_height: int
) -> None:
    tensor = torch.arange(width * height).reshape(height, width)
    cropped = center_crop_to_aspect(tensor, to_width, to_height)
    rows, columns = cropped.shape
    top, left = divmod(int(cropped[0, 0]), width)
    assert (height - rows, width - columns) == (2 * top, 2 * left)
    assert rows == height or columns == width
    wanted = to_width / to_height
    assert abs(columns - rows * wanted) <= 2 * max(1, wanted) + 1


def test_videos_are_resized_frame_by_frame() -> None:
    video = torch.rand(2, 4, 3, 6, 8)
    scaled = resize(video, 16, 12, "bilinear")
    assert torch.equal(scaled[:, :, 1], resize(video[:, :, 1], 16, 12, "bilinear"))


def test_lanczos_is_pillows() -> None:
    pixels = (np.random.default_rng(0).random((9, 11, 3)) * 255).astype(np.uint8)
    wanted = np.asarray(Image.fromarray(pixels).resize((20, 5), Image.Resampling.LANCZOS))
    tensor = torch.from_numpy(pixels / 255).float().movedim(-1, 0)[None]
    assert np.array_equal((resize(tensor, 20, 5, "lanczos")[0].movedim(0, -1) * 255).round().byte().numpy(), wanted)
    with pytest.raises(NodeError, match="16"):
        resize(torch.rand(1, 16, 4, 4), 8, 8, "lanczos")


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(NodeError, match="0×4"):
        resize(torch.rand(1, 3, 4, 4), 0, 4, "area")


def test_slerp_walks_the_arc_at_even_speed() -> None:
    first, second = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    for ratio in (0.0, 0.25, 0.5, 1.0):
        angle, length = ratio * math.pi / 2, 2 + 2 * ratio
        wanted = torch.tensor([[length * math.cos(angle), length * math.sin(angle)]])
        assert torch.allclose(slerp(first, second, torch.tensor([[ratio]])), wanted, atol=1e-5)


def test_slerp_of_parallel_opposite_and_zero_vectors_is_finite_and_fixed() -> None:
    first = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    second = torch.tensor([[3.0, 6.0], [-1.0, -2.0], [3.0, 0.0], [0.0, 0.0]])
    mixed = slerp(first, second, torch.full((4, 1), 0.25))
    assert mixed[0].tolist() == [1.0, 2.0]
    assert mixed[1].tolist() == [0.5, 1.0]
    assert torch.isfinite(mixed).all()
    assert mixed[3].tolist() == [0.0, 0.0]


def test_bislerp_keeps_lengths_where_bilinear_shrinks_them() -> None:
    turning = torch.stack([torch.cos(torch.arange(8.0) * 1.2), torch.sin(torch.arange(8.0) * 1.2)])
    latent = turning[None, :, None, :].expand(1, 2, 4, 8)
    spherical = resize_bislerp(latent, 29, 9).norm(dim=1)
    assert torch.allclose(spherical, torch.ones_like(spherical), atol=1e-4)
    assert resize(latent, 29, 9, "bilinear").norm(dim=1).min() < 0.9


def test_bislerp_of_a_constant_is_the_constant_in_half_precision_too() -> None:
    latent = torch.full((1, 4, 3, 3), 0.5, dtype=torch.float16)
    scaled = resize_bislerp(latent, 8, 5)
    assert scaled.dtype == torch.float16
    assert torch.allclose(scaled, torch.full_like(scaled, 0.5))


@given(radius=st.integers(1, 31), sigma=st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_kernels_are_symmetric_and_sum_to_one(radius: int, sigma: float) -> None:
    for kernel in (gaussian_kernel(radius, sigma), sharpening_kernel(radius, sigma, 5.0)):
        assert kernel.shape == (2 * radius + 1,) * 2
        assert kernel.sum().item() == pytest.approx(1, abs=1e-4)
        assert torch.allclose(kernel, kernel.T)
        assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-6)


def test_reflection_is_that_of_torch_where_torch_can() -> None:
    tensor, kernel = torch.rand(2, 3, 9, 8), gaussian_kernel(4, 0.5)
    padded = torch.nn.functional.pad(tensor, (4, 4, 4, 4), mode="reflect")
    wanted = torch.nn.functional.conv2d(padded, kernel.expand(3, 1, 9, 9), groups=3)
    assert torch.allclose(convolve_reflected(tensor, kernel), wanted, atol=1e-6)


@pytest.mark.parametrize("size", [3, 5, 9])
def test_morphology_agrees_with_kornia(size: int) -> None:
    from kornia.morphology import dilation, erosion

    tensor, kernel = torch.rand(1, 2, 12, 7), torch.ones(size, size)
    assert torch.allclose(dilate(tensor, size), dilation(tensor, kernel))
    assert torch.allclose(erode(tensor, size), erosion(tensor, kernel))


@given(size=st.integers(1, 30), height=sides, width=sides)
@settings(max_examples=60, deadline=None)
def test_opening_shrinks_closing_grows_and_both_are_idempotent(size: int, height: int, width: int) -> None:
    tensor = torch.rand(1, 1, height, width)
    opened, closed = dilate(erode(tensor, size), size), erode(dilate(tensor, size), size)
    assert torch.all(opened <= tensor)
    assert torch.all(closed >= tensor)
    assert torch.equal(dilate(erode(opened, size), size), opened)
    assert torch.equal(erode(dilate(closed, size), size), closed)


@given(height=sides, width=sides, radius=st.integers(0, 60), levels=st.sampled_from([1, 3, 1000]))
@settings(max_examples=120, deadline=None)
def test_growing_by_a_diamond_takes_the_maximum_of_all_pixels_that_many_steps_away(
    height: int, width: int, radius: int, levels: int
) -> None:
    tensor = torch.randint(0, levels + 1, (1, 1, height, width)) / levels
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    steps = (y.ravel()[:, None] - y.ravel()).abs() + (x.ravel()[:, None] - x.ravel()).abs()
    near = torch.where(steps <= radius, tensor.ravel(), -torch.inf)
    far = torch.where(steps <= radius, tensor.ravel(), torch.inf)
    assert torch.equal(dilate_cross(tensor, radius).ravel(), near.amax(1))
    assert torch.equal(erode_cross(tensor, radius).ravel(), far.amin(1))


@given(height=sides, width=sides, size=st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_growing_by_a_square_takes_the_maximum_of_its_window(height: int, width: int, size: int) -> None:
    tensor = torch.rand(1, 1, height, width)
    padding = (size - 1 - size // 2, size // 2)
    padded = torch.nn.functional.pad(tensor, padding * 2, value=-torch.inf)
    assert torch.equal(dilate(tensor, size), padded.unfold(2, size, 1).unfold(3, size, 1).amax((-2, -1)))


def test_yuv_agrees_with_kornia() -> None:
    from kornia.color import rgb_to_ycbcr as reference

    image = torch.rand(1, 6, 7, 3)
    assert torch.allclose(rgb_to_ycbcr(image), reference(image.movedim(-1, 1)).movedim(1, -1), atol=1e-6)
    assert torch.allclose(ycbcr_to_rgb(rgb_to_ycbcr(image)), image, atol=1e-5)


def test_bayer_thresholds_are_the_known_ones_evenly_spread() -> None:
    assert bayer_matrix(2).tolist() == [[-0.375, 0.125], [0.375, -0.125]]
    wanted = torch.tensor([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    assert torch.equal((bayer_matrix(4) + 0.5) * 16 - 0.5, wanted.float())
    for order in (2, 4, 8, 16):
        values = bayer_matrix(order).ravel().sort().values
        assert torch.allclose(values.diff(), torch.full((order**2 - 1,), 1 / order**2))


@given(offset=st.integers(-50, 50), length=st.integers(1, 20), limit=st.integers(1, 20))
def test_visible_spans_pair_the_same_positions(offset: int, length: int, limit: int) -> None:
    target, inner = visible_span(offset, length, limit)
    wanted = [(p, p - offset) for p in range(limit) if 0 <= p - offset < length]
    found = list(zip(range(limit)[target], range(length)[inner], strict=True))
    assert found == wanted


@given(length=st.integers(1, 9), wanted=st.integers(1, 20))
def test_repeating_to_a_batch_cycles(length: int, wanted: int) -> None:
    result = repeat_to_batch(torch.arange(length)[:, None], wanted)
    assert result.ravel().tolist() == [k % length for k in range(wanted)]


def test_channels_are_cut_or_filled_with_opaque() -> None:
    rgb, rgba = torch.zeros(1, 1, 1, 3), torch.full((1, 1, 1, 4), 0.5)
    assert match_channels(rgb, rgba)[1].ravel().tolist() == [0.5] * 3
    assert match_channels(rgba, rgb)[1].ravel().tolist() == [0, 0, 0, 1]


def test_every_byte_survives_the_trip_through_floats() -> None:
    values = torch.arange(256).float() / 255
    assert to_bytes(values).tolist() == list(range(256))
    assert to_bytes(values.double().float()).tolist() == list(range(256))


def test_masks_of_the_right_size_are_not_touched() -> None:
    mask = torch.rand(2, 4, 5)
    assert resize_masks(mask, 5, 4).data_ptr() == mask.data_ptr()
    assert resize_masks(mask[0], 10, 8).shape == (1, 8, 10)
