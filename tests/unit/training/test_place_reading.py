"""The second task of a U-Net under training: to tell at every place what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.networks.unet import UNetRecipe
from engine.training.place_reading import PlaceReadingRecipe
from engine.training.postcards.place_map import PLACE_CHANNELS, place_map
from engine.training.postcards.scene import Celestial, Group, Place, Scene, Sky

torch.set_num_threads(1)
CONTEXT = BuildContext(Path(), 0)


def scene(celestial: Celestial | None = None) -> Scene:
    places = (Place(0.25, 0.75, 0.25, 0.5, False), Place(0.75, 0.75, 0.125, 0.5, False))
    group = Group("house", "red", "medium", places)
    return Scene(0, 0, "train", "flat", Sky("day", "clear", celestial), "sea", (group,), None, 0)


def channel(found: np.ndarray, name: str) -> np.ndarray:
    return found[PLACE_CHANNELS.index(name)]


def test_cells_tell_which_share_of_them_boxes_cover() -> None:
    found = place_map(scene(), 8)
    house = channel(found, "house")
    assert house[:4].sum() == 0
    assert house[4].tolist() == [0, 255, 255, 0, 0, 128, 128, 0]
    assert (channel(found, "colour red") == house).all()
    assert sum(map(bool, found.reshape(len(found), -1).sum(axis=1))) == 2


def test_the_sun_has_a_channel_of_its_own() -> None:
    found = place_map(scene(Celestial("sun", "large", 0.5, 0.25, 0.125)), 8)
    assert channel(found, "sun")[1:3, 3:5].tolist() == [[255, 255], [255, 255]]


def unet() -> UNetRecipe:
    return UNetRecipe("unet", 4, 4, 32, (1, 2), 1, (0, 0), middle_depth=0)


def test_the_reading_learns_what_the_networks_features_tell() -> None:
    network = unet().build(CONTEXT)
    reading = PlaceReadingRecipe(block=1, num_channels=24).build(network, CONTEXT)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = {"places": torch.from_numpy(np.stack([place_map(scene(), 8)] * 2))}
    parameters = [*network.parameters(), *reading.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    losses = []
    for _ in range(40):
        network(x, torch.full((2,), 500.0))
        loss = reading.loss(batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]


def test_sampling_leaves_nothing_behind() -> None:
    network = unet().build(CONTEXT)
    reading = PlaceReadingRecipe(block=0, num_channels=24).build(network, CONTEXT)
    with torch.no_grad():
        network(torch.zeros(1, 4, 8, 8), torch.zeros(1))
    network(torch.zeros(1, 4, 8, 8), torch.zeros(1))
    with pytest.raises(ConfigError, match="no map of 24 channels"):
        reading.loss({})


def test_a_block_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="output block"):
        PlaceReadingRecipe(block=9, num_channels=24).build(unet().build(CONTEXT), CONTEXT)
