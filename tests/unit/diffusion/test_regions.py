from __future__ import annotations

import pytest
import torch

from engine.diffusion.conditioning import Area, ConditioningEntry, PercentArea
from engine.diffusion.guiders.basic import Basic
from engine.diffusion.guiders.cfg import Cfg
from engine.diffusion.regions import bind_regions, share_windows
from engine.diffusion.requests import RequestGroup, drive
from tests.gaussian_denoiser import GaussianDenoiser, entry

SIGMA = 1e-4
"""So little noise that a prediction of Gaussian data with std 0 is the mean of its conditioning."""


def predicted(*entries: ConditioningEntry, height: int = 16, width: int = 24) -> torch.Tensor:
    denoiser = GaussianDenoiser(std=0.0)
    x = torch.zeros(1, 4, height, width)
    return drive(Basic(denoiser, entries).bind(x, None)(x, SIGMA)).denoised


def test_entries_everywhere_are_averaged_by_strength() -> None:
    result = predicted(entry(1.0, strength=3.0), entry(5.0, strength=1.0))
    assert torch.allclose(result, torch.full_like(result, 2.0))


def test_a_single_entry_s_strength_does_not_matter() -> None:
    result = predicted(entry(2.0, strength=0.3))
    assert torch.allclose(result, torch.full_like(result, 2.0))


def test_an_area_is_predicted_from_its_window_alone() -> None:
    denoiser = GaussianDenoiser(std=0.0)
    x = torch.randn(1, 4, 16, 24)
    guide = Basic(denoiser, (entry(1.0), entry(5.0, area=Area(8, 12, 4, 6)))).bind(x, None)
    group = next(guide(x, SIGMA))
    assert isinstance(group, RequestGroup)
    assert torch.equal(group.requests[1].x, x[..., 4:12, 6:18])


def test_an_area_fades_over_a_quarter_at_edges_inside_the_picture_only() -> None:
    result = predicted(entry(0.0), entry(1.0, area=Area(16, 12, 0, 6)))[0, 0]
    share = torch.tensor([1 / 3, 2 / 3, 1.0])
    wanted = share / (1 + share)
    assert torch.allclose(result[0, 6:9], wanted)
    assert torch.allclose(result[15, 6:9], wanted)
    assert torch.allclose(result[8, 15:18], wanted.flip(0))
    assert result[:, :6].abs().max() == 0


def test_an_area_past_the_edge_is_cut_to_the_picture() -> None:
    (region,) = bind_regions(
        GaussianDenoiser(), [entry(1.0, area=Area(64, 64, 4, 20))], torch.zeros(1, 4, 16, 24), None
    )
    assert region.window == Area(height=12, width=4, top=4, left=20)


def test_an_area_in_fractions_becomes_cells() -> None:
    (region,) = bind_regions(
        GaussianDenoiser(), [entry(1.0, area=PercentArea(0.5, 0.25, 0.5, 0.0))], torch.zeros(1, 4, 16, 24), None
    )
    assert region.window == Area(height=8, width=6, top=8, left=0)


def test_a_mask_weighs_places_and_is_resized_to_the_latent() -> None:
    mask = torch.zeros(1, 128, 192)
    mask[:, :, :96] = 1.0
    result = predicted(entry(1.0, mask=mask, strength=3.0), entry(5.0))[0, 0]
    assert torch.allclose(result[:, :11], torch.full((16, 11), 2.0))
    assert torch.allclose(result[:, 13:], torch.full((16, 11), 5.0))


def test_a_mask_can_bound_the_window() -> None:
    mask = torch.zeros(1, 16, 24)
    mask[:, 5:7, 8:20] = 1.0
    (region,) = bind_regions(
        GaussianDenoiser(), [entry(1.0, mask=mask, is_bounded_by_mask=True)], torch.zeros(1, 4, 16, 24), None
    )
    assert region.window == Area(height=8, width=12, top=5, left=8)
    assert region.weight.shape == (1, 1, 8, 12)


def test_places_no_entry_covers_are_predicted_as_zero() -> None:
    result = predicted(entry(3.0, area=Area(16, 12, 0, 0)))[0, 0]
    assert result[:, 12:].abs().max() == 0


def test_an_entry_outside_its_range_is_not_asked_for() -> None:
    denoiser = GaussianDenoiser()
    x = torch.zeros(1, 4, 8, 8)
    entries = (entry(1.0, end_fraction=0.5), entry(2.0, start_fraction=0.5))
    guide = Basic(denoiser, entries).bind(x, None)
    assert [float(r.inputs.context[0, 0, 0]) for r in next(guide(x, 14.0)).requests] == [1.0]
    assert [float(r.inputs.context[0, 0, 0]) for r in next(guide(x, 0.1)).requests] == [2.0]


def test_a_side_with_nothing_to_say_predicts_zeros_and_asks_nothing() -> None:
    denoiser = GaussianDenoiser()
    x = torch.ones(1, 4, 8, 8)
    result = drive(Basic(denoiser, ()).bind(x, None)(x, 1.0))
    assert torch.equal(result.denoised, torch.zeros_like(x))
    assert denoiser.forwards == []


def test_the_other_side_gets_a_twin_for_every_window() -> None:
    latent = torch.zeros(1, 4, 16, 24)
    denoiser = GaussianDenoiser()
    positive = bind_regions(denoiser, [entry(1.0), entry(2.0, area=Area(8, 8, 0, 0), strength=0.5)], latent, None)
    negative = bind_regions(denoiser, [entry(9.0)], latent, None)
    shared = share_windows(negative, positive)
    assert [region.window for region in shared] == [None, Area(8, 8, 0, 0)]
    assert float(shared[1].inputs.context[0, 0, 0]) == 9.0
    assert shared[1].weight is positive[1].weight


def test_a_side_that_has_the_window_gets_no_twin() -> None:
    latent = torch.zeros(1, 4, 16, 24)
    window = Area(8, 8, 0, 0)
    sides = [bind_regions(GaussianDenoiser(), [entry(m), entry(m, area=window)], latent, None) for m in (1.0, 2.0)]
    assert len(share_windows(sides[0], sides[1])) == 2


def test_the_twin_takes_its_inputs_from_the_smallest_region_around() -> None:
    latent = torch.zeros(1, 4, 16, 24)
    own = bind_regions(
        GaussianDenoiser(),
        [entry(1.0), entry(2.0, area=Area(12, 12, 0, 0)), entry(3.0, area=Area(4, 4, 12, 20))],
        latent,
        None,
    )
    other = bind_regions(GaussianDenoiser(), [entry(9.0, area=Area(8, 8, 0, 0))], latent, None)
    assert float(share_windows(own, other)[-1].inputs.context[0, 0, 0]) == 2.0


def test_guidance_extrapolates_from_the_negative_side() -> None:
    denoiser = GaussianDenoiser(std=0.0)
    x = torch.zeros(1, 4, 8, 8)
    result = drive(Cfg(denoiser, (entry(3.0),), (entry(1.0),), 4.0).bind(x, None)(x, SIGMA)).denoised
    assert torch.allclose(result, torch.full_like(x, 9.0))


def test_both_sides_are_asked_for_in_one_group() -> None:
    x = torch.zeros(1, 4, 8, 8)
    guide = Cfg(GaussianDenoiser(), (entry(3.0),), (entry(1.0),), 4.0).bind(x, None)
    assert len(next(guide(x, 1.0)).requests) == 2


@pytest.mark.parametrize("scale", [1.0, 1.0 + 1e-12])
def test_at_scale_one_the_negative_side_is_not_asked_for(scale: float) -> None:
    x = torch.zeros(1, 4, 8, 8)
    guide = Cfg(GaussianDenoiser(), (entry(3.0),), (entry(1.0),), scale).bind(x, None)
    assert len(next(guide(x, 1.0)).requests) == 1
