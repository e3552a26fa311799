"""Pictures for control networks that need no weights."""

from __future__ import annotations

import torch

from engine.families.control.picture import fitted_picture
from nodes.preprocessors import make_color_cells, make_hole, make_scribble, make_shuffled, make_tile


def picture(seed: int = 0, count: int = 1, height: int = 96, width: int = 128) -> torch.Tensor:
    return torch.rand(count, height, width, 4, generator=torch.Generator().manual_seed(seed))


def test_dark_strokes_become_white_lines_and_plain_areas_stay_black() -> None:
    page = torch.ones(2, 64, 64, 3)
    page[0, 20:23, 8:56] = 0.0
    lines = make_scribble(page)
    assert set(lines.unique().tolist()) == {0.0, 1.0}
    assert bool((lines[0, 21, 10:54] == 1).all())
    assert not lines[0, 40:].any()
    assert not lines[1].any()
    # A bright stroke is no line, and a faint one is found by a lower threshold only.
    assert not make_scribble(1.0 - page)[0, 21, 10:54].any()
    faint = 1.0 - (1.0 - page) * 0.06
    assert not make_scribble(faint).any()
    assert make_scribble(faint, 0.05).any()


def test_a_softened_picture_keeps_its_means_and_loses_its_detail() -> None:
    given = picture()
    soft = make_tile(given, 16)
    assert soft.shape == (1, 96, 128, 3)
    assert torch.allclose(soft.mean(dim=(1, 2)), given[..., :3].mean(dim=(1, 2)), atol=0.02)
    assert float(soft.diff(dim=2).abs().mean()) < 0.1 * float(given[..., :3].diff(dim=2).abs().mean())
    assert torch.allclose(make_tile(given, 1), given[..., :3], atol=1e-5)


def test_colour_cells_are_squares_of_one_colour() -> None:
    cells = make_color_cells(picture(), 32)
    blocks = cells.unfold(1, 32, 32).unfold(2, 32, 32)
    assert blocks.shape[1:3] == (3, 4)
    assert float(blocks.flatten(-2).std(dim=-1).max()) < 1e-6
    assert float(blocks[..., 0, 0].flatten(1, 2).std(dim=1).min()) > 0.01
    assert make_color_cells(picture(height=16, width=16), 64).shape == (1, 16, 16, 3)


def test_a_shuffled_picture_has_the_same_colours_elsewhere() -> None:
    given = picture(count=2)
    given[1] = given[0]
    shuffled = make_shuffled(given, 7)
    assert shuffled.shape == (2, 96, 128, 3)
    assert torch.equal(shuffled, make_shuffled(given, 7))
    assert not torch.allclose(shuffled[0], shuffled[1], atol=0.05)
    assert torch.equal(make_shuffled(given, 8)[0], shuffled[1])
    assert float(shuffled.min()) >= float(given.min())
    assert float(shuffled.max()) <= float(given.max())
    plain = torch.full((1, 40, 40, 3), 0.3)
    assert torch.allclose(make_shuffled(plain, 2**64 - 1), plain, atol=1e-6)


def test_a_hole_is_marked_below_every_colour_and_reaches_the_network_so() -> None:
    mask = torch.zeros(1, 48, 64)
    mask[:, :, :32] = 1.0
    marked = make_hole(picture(), mask)
    assert bool((marked[:, :, :64] == -1).all())
    assert torch.equal(marked[:, :, 64:], picture()[:, :, 64:, :3])
    assert float(fitted_picture(marked, 3, 48, 64).min()) == -1.0
