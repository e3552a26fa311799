from __future__ import annotations

import pytest
import torch

from engine.diffusion.noise import BrownianNoise, GaussianNoise, initial_noise


def test_initial_noise_is_the_default_generator_s_for_the_whole_batch() -> None:
    wanted = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(17))
    assert torch.equal(initial_noise((3, 4, 8, 8), 17), wanted)


def test_an_item_taken_out_of_a_batch_keeps_its_noise() -> None:
    whole = initial_noise((4, 4, 8, 8), 5)
    assert torch.equal(initial_noise((1, 4, 8, 8), 5, [2]), whole[2:3])
    assert torch.equal(initial_noise((2, 4, 8, 8), 5, [3, 0]), whole[[3, 0]])


def test_items_of_equal_place_get_equal_noise() -> None:
    noise = initial_noise((3, 4, 8, 8), 5, [0, 0, 0])
    assert torch.equal(noise[0], noise[1])
    assert torch.equal(noise[0], noise[2])


def test_the_largest_seed_is_accepted() -> None:
    assert initial_noise((1, 4, 2, 2), 2**64 - 1).shape == (1, 4, 2, 2)


def test_a_sampler_s_gaussian_noise_does_not_touch_the_global_generator() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    GaussianNoise(torch.zeros(1, 4, 8, 8), 3)(1.0, 0.5)
    initial_noise((1, 4, 8, 8), 3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_calls_of_gaussian_noise_follow_one_sequence_of_the_seed() -> None:
    noise = GaussianNoise(torch.zeros(1, 4, 8, 8), 3)
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        assert torch.equal(noise(1.0, 0.5), torch.randn(1, 4, 8, 8, generator=generator))


def test_brownian_noise_of_a_step_has_unit_variance() -> None:
    noise = BrownianNoise(torch.zeros(1, 1, 120, 120), 3, 0.03, 14.6)
    assert float(noise(5.0, 2.0).std()) == pytest.approx(1.0, abs=0.03)
    assert float(noise(2.0, 1.9).std()) == pytest.approx(1.0, abs=0.03)


def test_brownian_noise_of_two_half_steps_makes_that_of_the_whole_step() -> None:
    noise = BrownianNoise(torch.zeros(1, 4, 8, 8), 3, 0.03, 14.6)
    whole, first, second = noise(4.0, 1.0), noise(4.0, 2.0), noise(2.0, 1.0)
    assert torch.allclose(whole * 3**0.5, first * 2**0.5 + second, atol=1e-5)


def test_a_run_of_one_step_needs_no_path() -> None:
    BrownianNoise(torch.zeros(1, 4, 8, 8), 3, 14.6, 14.6)
