"""The VAE of models that denoise pixels, behind the nodes that use a VAE."""

from __future__ import annotations

import pytest
import torch

from engine.core.errors import NodeError
from engine.families.autoencoder.pixel_space import PixelSpaceAutoencoder
from nodes.vae import decode, decode_tiled, encode, encode_for_inpainting, encode_tiled
from tests.tiny_sd1 import host_with, store_on

PICTURE = torch.rand(2, 13, 7, 3, generator=torch.Generator().manual_seed(1))


def vae() -> PixelSpaceAutoencoder:
    return store_on(host_with()).pixel_space_vae()


def test_a_picture_comes_back_as_it_was() -> None:
    latent = encode(PICTURE, vae())["samples"]
    assert tuple(latent.shape) == (2, 3, 13, 7)
    assert torch.allclose(decode({"samples": latent}, vae()), PICTURE, atol=1e-6)
    assert torch.equal(latent, PICTURE.movedim(3, 1) * 2 - 1)


def test_black_is_minus_one_and_white_is_one() -> None:
    picture = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 1, 3)
    assert encode(picture, vae())["samples"][0, 0].flatten().tolist() == [-1.0, 0.0, 1.0]


def test_what_lies_beyond_black_and_white_is_clamped_and_a_fourth_channel_ignored() -> None:
    image = decode({"samples": torch.tensor([-3.0, 0.0, 2.0]).view(1, 3, 1, 1)}, vae())
    assert image.flatten().tolist() == [0.0, 0.5, 1.0]
    with_alpha = torch.cat([PICTURE, torch.zeros(2, 13, 7, 1)], dim=3)
    assert torch.equal(encode(with_alpha, vae())["samples"], encode(PICTURE, vae())["samples"])


def test_tiles_change_nothing() -> None:
    latent = encode_tiled(PICTURE, vae(), tile_size=64, overlap=0)
    assert torch.equal(latent["samples"], encode(PICTURE, vae())["samples"])
    assert torch.equal(decode_tiled(latent, vae(), tile_size=64, overlap=0), decode(latent, vae()))


def test_a_hole_to_be_filled_is_grey_and_its_mask_has_the_picture_s_size() -> None:
    mask = torch.zeros(2, 13, 7)
    mask[:, 5, 3] = 1
    latent = encode_for_inpainting(PICTURE, vae(), mask, grow_mask_by=0)
    assert latent["samples"][0, :, 5, 3].tolist() == [0.0, 0.0, 0.0]
    assert tuple(latent["noise_mask"].shape) == (2, 1, 13, 7)


def test_latents_of_another_shape_and_grey_pictures_are_refused() -> None:
    with pytest.raises(NodeError, match="latents of 3 channels"):
        decode({"samples": torch.zeros(1, 4, 8, 8)}, vae())
    with pytest.raises(NodeError, match="must be"):
        encode(torch.zeros(1, 8, 8, 1), vae())
