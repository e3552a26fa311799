"""Latent nodes against closed forms."""

from __future__ import annotations

import json

import pytest
import torch
from node_context import KeepingContext
from safetensors import safe_open
from safetensors.torch import load, save

from engine.core.errors import NodeError
from nodes.latent_arithmetic import (
    add_latents,
    blend_latents,
    concat_latents,
    cut_latent,
    interpolate_latents,
    multiply_latent,
    subtract_latents,
)
from nodes.latent_batch import (
    batch_latents,
    latent_from_batch,
    rebatch_latents,
    repeat_latent_batch,
    set_seed_behavior,
)
from nodes.latent_composite import composite_latents, composite_latents_masked, set_latent_noise_mask
from nodes.latent_empty import (
    empty_chroma_radiance_latent,
    empty_cosmos_latent,
    empty_hunyuan_image_latent,
    empty_hunyuan_video_latent,
    empty_latent_image,
    empty_ltx_video_latent,
    empty_mochi_latent,
    empty_sd3_latent,
    empty_stable_cascade_latents,
)
from nodes.latent_files import load_latent, save_latent
from nodes.latent_operations import apply_latent_operation, sharpen_operation, tonemap_reinhard_operation
from nodes.latent_transform import (
    crop_latent,
    flip_latent,
    rotate_latent,
    scale_latent,
    scale_latent_by,
    trim_video_latent,
)


def latent(*shape: int, **extra: object) -> dict[str, object]:
    return {"samples": torch.randn(*shape, generator=torch.Generator().manual_seed(3)), **extra}


def full(value: float, *shape: int) -> dict[str, torch.Tensor]:
    return {"samples": torch.full(shape, value)}


def test_sums_differences_and_multiples_are_elementwise_and_keep_the_mask() -> None:
    mask = torch.ones(1, 1, 64, 64)
    a, b = latent(2, 4, 8, 8, noise_mask=mask), latent(2, 4, 8, 8)
    assert torch.equal(add_latents(a, b)["samples"], a["samples"] + b["samples"])
    assert torch.equal(subtract_latents(a, b)["samples"], torch.zeros(2, 4, 8, 8))
    assert torch.equal(multiply_latent(a, -2.0)["samples"], a["samples"] * -2)
    assert add_latents(a, b)["noise_mask"] is mask


def test_the_second_operand_takes_the_size_and_batch_of_the_first() -> None:
    total = add_latents(full(1.0, 3, 4, 8, 8), full(0.5, 1, 4, 5, 9))["samples"]
    assert torch.allclose(total, torch.full((3, 4, 8, 8), 1.5))
    with pytest.raises(NodeError, match="do not go together"):
        add_latents(full(1.0, 1, 4, 8, 8), full(1.0, 1, 16, 8, 8))


def test_interpolation_turns_directions_and_mixes_lengths() -> None:
    a, b = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1)
    middle = interpolate_latents({"samples": a}, {"samples": b}, 0.5)["samples"]
    assert middle.ravel().tolist() == pytest.approx([2 / 2**0.5, 2 / 2**0.5])
    assert torch.allclose(interpolate_latents({"samples": a}, {"samples": b}, 1.0)["samples"], a)
    assert torch.allclose(interpolate_latents({"samples": a}, {"samples": b}, 0.0)["samples"], b)
    assert torch.equal(interpolate_latents({"samples": a * 0}, {"samples": b * 0}, 0.3)["samples"], a * 0)


def test_blending_weighs_the_first_by_the_factor() -> None:
    mixed = blend_latents(full(1.0, 1, 4, 8, 8), full(3.0, 1, 4, 4, 4), 0.25)["samples"]
    assert torch.allclose(mixed, torch.full((1, 4, 8, 8), 2.5))


def test_joining_follows_axis_and_sign() -> None:
    a, b = latent(2, 4, 8, 8), full(7.0, 1, 4, 8, 3)
    joined = concat_latents(a, b, "x")["samples"]
    assert joined.shape == (2, 4, 8, 11)
    assert torch.equal(joined[..., :8], a["samples"])
    assert torch.all(concat_latents(a, b, "-x")["samples"][..., :3] == 7)
    video = latent(1, 4, 3, 8, 8)
    assert concat_latents(video, video, "t")["samples"].shape == (1, 4, 6, 8, 8)
    with pytest.raises(NodeError, match="cannot be joined along y"):
        concat_latents(a, b, "y")
    with pytest.raises(NodeError, match="no frames"):
        concat_latents(a, a, "-t")


def test_cutting_counts_from_either_end_and_stays_inside() -> None:
    a = latent(1, 4, 8, 6)
    samples = a["samples"]
    assert torch.equal(cut_latent(a, "x", 2, 3)["samples"], samples[..., 2:5])
    assert torch.equal(cut_latent(a, "y", -3, 2)["samples"], samples[:, :, 5:7])
    assert torch.equal(cut_latent(a, "y", -99, 2)["samples"], samples[:, :, :2])
    assert torch.equal(cut_latent(a, "x", 99, 99)["samples"], samples[..., 5:])
    assert torch.equal(cut_latent(a, "x", -2, 99)["samples"], samples[..., 4:])


def test_scaling_counts_in_pixels() -> None:
    a = latent(1, 4, 8, 16)
    assert scale_latent(a, "bislerp", 256, 96, crop="disabled")["samples"].shape == (1, 4, 12, 32)
    assert scale_latent(a, "area", 0, 128, crop="disabled")["samples"].shape[-2:] == (16, 32)
    assert scale_latent(a, "area", 0, 0, crop="disabled") is a
    assert scale_latent(a, "area", 8, 8, crop="center")["samples"].shape[-2:] == (8, 8)
    assert scale_latent_by(a, "bicubic", 1.5)["samples"].shape == (1, 4, 12, 24)
    assert scale_latent_by(latent(1, 4, 3, 8, 8), "bilinear", 2.0)["samples"].shape == (1, 4, 3, 16, 16)


def test_flips_rotations_and_crops_move_cells_as_named() -> None:
    a = {"samples": torch.arange(6.0).reshape(1, 1, 2, 3)}
    assert flip_latent(a, "x-axis: vertically")["samples"].ravel().tolist() == [3, 4, 5, 0, 1, 2]
    assert flip_latent(a, "y-axis: horizontally")["samples"].ravel().tolist() == [2, 1, 0, 5, 4, 3]
    assert rotate_latent(a, "90 degrees")["samples"][0, 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    big = latent(1, 4, 20, 20)
    assert torch.equal(crop_latent(big, 64, 72, 16, 8)["samples"], big["samples"][..., 1:10, 2:10])
    assert torch.equal(crop_latent(big, 512, 512, 9999, 0)["samples"], big["samples"][..., 12:])
    assert crop_latent(latent(1, 4, 4, 4), 64, 64, 800, 800)["samples"].shape == (1, 4, 4, 4)


def test_trimming_drops_the_first_frames() -> None:
    video = latent(1, 4, 5, 2, 2)
    assert torch.equal(trim_video_latent(video, 2)["samples"], video["samples"][:, :, 2:])
    for wrong in (video, latent(1, 4, 8, 8)):
        with pytest.raises(NodeError, match="Cannot drop 5 frames"):
            trim_video_latent(wrong, 5)


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (empty_latent_image(64, 32, 3), (3, 4, 4, 8)),
        (empty_sd3_latent(64, 32, 3), (3, 16, 4, 8)),
        (empty_hunyuan_image_latent(128, 64, 2), (2, 64, 2, 4)),
        (empty_chroma_radiance_latent(32, 16, 2), (2, 3, 16, 32)),
        (empty_stable_cascade_latents(1024, 512, 42, 2)[0], (2, 16, 12, 24)),
        (empty_stable_cascade_latents(1024, 512, 42, 2)[1], (2, 4, 128, 256)),
        (empty_hunyuan_video_latent(64, 32, 25, 2), (2, 16, 7, 4, 8)),
        (empty_hunyuan_video_latent(64, 32, 28, 2), (2, 16, 7, 4, 8)),
        (empty_hunyuan_video_latent(64, 32, 1, 2), (2, 16, 1, 4, 8)),
        (empty_mochi_latent(64, 32, 25, 2), (2, 12, 5, 4, 8)),
        (empty_cosmos_latent(64, 32, 121, 2), (2, 16, 16, 4, 8)),
        (empty_ltx_video_latent(128, 64, 97, 2), (2, 128, 13, 2, 4)),
    ],
)
def test_empty_latents_are_zeros_in_the_layout_of_their_family(made: dict, shape: tuple[int, ...]) -> None:
    assert list(made) == ["samples"]
    assert torch.equal(made["samples"], torch.zeros(shape))


def test_joined_batches_keep_the_noise_of_each_entry() -> None:
    a, b = latent(2, 4, 8, 8), latent(3, 4, 8, 8, batch_index=[5, 6, 7])
    joined = batch_latents(a, b)
    assert torch.equal(joined["samples"], torch.cat([a["samples"], b["samples"]]))
    assert joined["batch_index"] == [0, 1, 5, 6, 7]
    assert batch_latents(a, latent(1, 4, 3, 5))["samples"].shape == (3, 4, 8, 8)


def test_seed_behaviour_numbers_entries_alike_or_not_at_all() -> None:
    a = latent(3, 4, 8, 8, batch_index=[4, 5, 6])
    assert set_seed_behavior(a, "fixed")["batch_index"] == [4, 4, 4]
    assert set_seed_behavior(latent(3, 4, 8, 8), "fixed")["batch_index"] == [0, 0, 0]
    assert "batch_index" not in set_seed_behavior(a, "random")


def test_entries_taken_from_a_batch_keep_number_and_mask() -> None:
    mask = torch.rand(4, 1, 64, 64)
    a = latent(4, 4, 8, 8, noise_mask=mask)
    taken = latent_from_batch(a, 1, 2)
    assert torch.equal(taken["samples"], a["samples"][1:3])
    assert torch.equal(taken["noise_mask"], mask[1:3])
    assert taken["batch_index"] == [1, 2]
    assert latent_from_batch(a, 63, 64)["batch_index"] == [3]
    numbered = latent(3, 4, 8, 8, batch_index=[7, 8, 9], noise_mask=mask[:1])
    assert latent_from_batch(numbered, 1, 9)["batch_index"] == [8, 9]
    assert len(latent_from_batch(numbered, 1, 9)["noise_mask"]) == 1


def test_repetitions_get_noise_of_their_own() -> None:
    a = latent(2, 4, 8, 8, batch_index=[3, 4], noise_mask=torch.rand(2, 1, 64, 64))
    repeated = repeat_latent_batch(a, 3)
    assert torch.equal(repeated["samples"], torch.cat([a["samples"]] * 3))
    assert repeated["batch_index"] == [3, 4, 5, 6, 7, 8]
    assert torch.equal(repeated["noise_mask"], torch.cat([a["noise_mask"]] * 3))
    assert "batch_index" not in repeat_latent_batch(latent(2, 4, 8, 8), 2)


def test_rebatching_regroups_equal_sizes_and_fills_missing_masks_with_ones() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    batches = [latent(3, 4, 8, 8), latent(2, 4, 8, 8, noise_mask=mask), latent(1, 4, 16, 16)]
    out = rebatch_latents(batches, [2])
    assert [tuple(batch["samples"].shape) for batch in out] == [(2, 4, 8, 8)] * 2 + [(1, 4, 8, 8), (1, 4, 16, 16)]
    assert torch.equal(torch.cat([b["samples"] for b in out[:3]]), torch.cat([b["samples"] for b in batches[:2]]))
    assert [batch["batch_index"] for batch in out] == [[0, 1], [2, 3], [4], [5]]
    assert "noise_mask" not in out[0]
    assert out[1]["noise_mask"].mean((1, 2, 3)).tolist() == [1.0, 0.0]
    assert rebatch_latents([], [2]) == []


def test_pasted_latents_fade_along_inner_edges_only() -> None:
    pasted = composite_latents(full(0.0, 1, 4, 8, 8), full(1.0, 1, 4, 4, 8), 0, 16, 16)["samples"]
    assert pasted[0, 0, :, 0].tolist() == [0, 0, 0.5, 1, 1, 0.5, 0, 0]
    assert torch.equal(pasted[..., 0], pasted[..., 7])
    cut = composite_latents(full(0.0, 1, 4, 8, 8), full(1.0, 1, 4, 8, 8), 48, 0, 16)["samples"]
    assert cut[0, 0, 3].tolist() == [0, 0, 0, 0, 0, 0, 0.5, 1]
    untouched = latent(1, 4, 8, 8)
    assert torch.equal(composite_latents(untouched, untouched, 800, 800, 8)["samples"], untouched["samples"])


def test_a_fade_longer_than_the_source_is_cut() -> None:
    pasted = composite_latents(full(0.0, 1, 4, 8, 8), full(1.0, 1, 4, 8, 3), 16, 0, 64)["samples"]
    ramp = [1 / 8, 2 / 8, 3 / 8]
    wanted = [a * b for a, b in zip(ramp, ramp[::-1], strict=True)]
    assert pasted[0, 0, 0, 2:5].tolist() == pytest.approx(wanted)


def test_masked_pasting_scales_the_mask_to_the_source() -> None:
    mask = torch.zeros(64, 64)
    mask[:, 32:] = 1
    result = composite_latents_masked(full(0.0, 2, 4, 8, 8), full(1.0, 1, 4, 8, 8), 0, 0, False, mask)["samples"]
    assert result[1, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    moved = composite_latents_masked(full(0.0, 1, 4, 8, 8), full(1.0, 1, 4, 2, 2), 24, 8)["samples"]
    assert torch.all(moved[..., 1:3, 3:5] == 1)
    assert moved.sum() == 16
    assert torch.all(composite_latents_masked(full(0.0, 1, 4, 8, 8), full(1.0, 1, 4, 2, 2), 0, 0, True)["samples"] == 1)


def test_a_noise_mask_keeps_its_resolution() -> None:
    mask = torch.rand(3, 64, 48)
    assert torch.equal(set_latent_noise_mask(latent(1, 4, 8, 8), mask)["noise_mask"], mask[:, None])
    assert set_latent_noise_mask(latent(1, 4, 8, 8), mask[0])["noise_mask"].shape == (1, 1, 64, 48)


def test_tone_mapping_keeps_directions_and_compresses_lengths() -> None:
    a = latent(2, 4, 16, 16)
    mapped = apply_latent_operation(a, tonemap_reinhard_operation(1.0))["samples"]
    before, after = a["samples"].norm(dim=1), mapped.norm(dim=1)
    top = before.std((1, 2), keepdim=True) * 5 + before.mean((1, 2), keepdim=True)
    assert torch.allclose(after, before / (1 + before / top), rtol=1e-4)
    assert torch.allclose(mapped / after[:, None], a["samples"] / before[:, None], atol=1e-5)
    assert apply_latent_operation(a, tonemap_reinhard_operation(0.0))["samples"].abs().max() < 1e-6


def test_sharpening_a_constant_latent_changes_nothing_and_zero_strength_neither() -> None:
    flat = full(0.7, 1, 4, 8, 8)
    sharp = apply_latent_operation(flat, sharpen_operation(9, 1.0, 0.5))["samples"]
    assert torch.allclose(sharp, flat["samples"], atol=1e-3)
    a = latent(1, 4, 8, 8)
    assert torch.allclose(apply_latent_operation(a, sharpen_operation(3, 1.0, 0.0))["samples"], a["samples"], atol=1e-5)


def test_a_latent_is_saved_with_its_metadata_and_loads_back(ctx: KeepingContext, tmp_path) -> None:
    a = latent(2, 4, 8, 8)
    save_latent(a, ctx, "latents/x", {"1": {}}, {"workflow": {"nodes": []}})
    kept = ctx.files[0]
    assert (kept.prefix, kept.extension, kept.ui_key) == ("latents/x", "latent", "latents")
    tensors = load(kept.data)
    assert set(tensors) == {"latent_tensor", "latent_format_version_0"}
    assert tensors["latent_format_version_0"].numel() == 0
    path = tmp_path / "a.latent"
    path.write_bytes(kept.data)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"prompt": json.dumps({"1": {}}), "workflow": json.dumps({"nodes": []})}
    assert torch.equal(load_latent("a.latent", KeepingContext(tmp_path))["samples"], a["samples"])


def test_files_without_a_version_are_divided_by_the_sd1_scale(tmp_path) -> None:
    (tmp_path / "old.latent").write_bytes(save({"latent_tensor": torch.full((1, 4, 2, 2), 0.18215)}))
    (tmp_path / "other.latent").write_bytes(save({"weight": torch.zeros(1)}))
    (tmp_path / "broken.latent").write_bytes(b"\xff" * 100)
    ctx = KeepingContext(tmp_path)
    assert torch.allclose(load_latent("old.latent", ctx)["samples"], torch.ones(1, 4, 2, 2))
    with pytest.raises(NodeError, match="holds no latent_tensor but weight"):
        load_latent("other.latent", ctx)
    with pytest.raises(NodeError, match="not a latent file"):
        load_latent("broken.latent", ctx)
