from __future__ import annotations

import pytest
import torch

from engine.core.errors import NodeError
from engine.diffusion.conditioning import Area, PercentArea, parse_conditioning, to_pairs


def test_a_bare_pair_applies_everywhere_and_always() -> None:
    (entry,) = parse_conditioning([[torch.zeros(1, 77, 8), {}]])
    assert (entry.area, entry.mask, entry.strength) == (None, None, 1.0)
    assert (entry.start_fraction, entry.end_fraction) == (0.0, 1.0)


def test_every_known_key_is_read() -> None:
    mask, pooled = torch.ones(1, 4, 4), torch.zeros(1, 8)
    options = {
        "pooled_output": pooled,
        "area": (8, 16, 1, 2),
        "strength": 0.5,
        "mask": mask,
        "mask_strength": 0.25,
        "set_area_to_bounds": True,
        "start_percent": 0.1,
        "end_percent": 0.9,
        "width": 1024,
    }
    (entry,) = parse_conditioning([[torch.zeros(1, 77, 8), options]])
    assert entry.area == Area(height=8, width=16, top=1, left=2)
    assert entry.mask is mask
    assert entry.pooled is pooled
    assert (entry.strength, entry.mask_strength, entry.is_bounded_by_mask) == (0.5, 0.25, True)
    assert (entry.start_fraction, entry.end_fraction) == (0.1, 0.9)
    assert dict(entry.extras) == {"width": 1024}


def test_an_area_in_fractions_is_recognised() -> None:
    (entry,) = parse_conditioning([[torch.zeros(1, 77, 8), {"area": ("percentage", 0.5, 1.0, 0.25, 0)}]])
    assert entry.area == PercentArea(height=0.5, width=1.0, top=0.25, left=0.0)


def test_writing_entries_back_gives_the_pairs_they_came_from() -> None:
    options = {"area": (8, 8, 0, 1), "strength": 0.5, "start_percent": 0.5, "end_percent": 1.0, "width": 512}
    pairs = [[torch.zeros(1, 77, 8), options], [torch.ones(1, 77, 8), {}]]
    again = to_pairs(parse_conditioning(pairs))
    assert [options for _, options in again] == [options for _, options in pairs]
    assert all(a is b for (a, _), (b, _) in zip(again, pairs, strict=True))


def test_parsing_leaves_the_pairs_as_they_are() -> None:
    options = {"strength": 0.5, "width": 512}
    parse_conditioning([[torch.zeros(1, 77, 8), options]])
    assert options == {"strength": 0.5, "width": 512}


@pytest.mark.parametrize("item", [5, [torch.zeros(1)], [torch.zeros(1), 3], ["text", {}]])
def test_what_is_no_pair_is_refused(item: object) -> None:
    with pytest.raises(NodeError) as raised:
        parse_conditioning([item])
    assert raised.value.code == "bad_conditioning"


def test_an_area_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(NodeError, match="height, width, top, left"):
        parse_conditioning([[torch.zeros(1, 77, 8), {"area": (1, 2, 3)}]])


@pytest.mark.parametrize("key", ["gligen", "hooks"])
def test_conditioning_that_sampling_cannot_honour_is_refused_rather_than_ignored(key: str) -> None:
    with pytest.raises(NodeError) as raised:
        parse_conditioning([[torch.zeros(1, 77, 8), {key: object()}]])
    assert raised.value.code == "unsupported_conditioning"
