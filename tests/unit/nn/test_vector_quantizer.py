"""The codebook: nearest entries, straight-through gradient, and the two terms of its loss."""

from __future__ import annotations

import torch

from engine.nn.vector_quantizer import VectorQuantizer


def quantizer() -> VectorQuantizer:
    made = VectorQuantizer(5, 2, commitment=0.25)
    made.embedding.weight.data = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [4.0, 4.0], [-3.0, 1.0]])
    return made


def test_each_cell_becomes_the_nearest_entry() -> None:
    latent = torch.tensor([[0.9, 0.2], [3.0, 5.0], [-2.0, 0.0]]).T.view(1, 2, 1, 3)
    found = quantizer()(latent)
    assert found.indices.tolist() == [[[1, 3, 4]]]
    assert torch.equal(found.quantized, quantizer().entries(found.indices))


def test_the_gradient_of_what_comes_after_passes_straight_through() -> None:
    latent = torch.randn(2, 2, 3, 3, requires_grad=True)
    weights = torch.randn(2, 2, 3, 3)
    (quantizer()(latent).quantized * weights).sum().backward()
    assert latent.grad is not None
    assert torch.allclose(latent.grad, weights)


def test_the_loss_draws_entries_to_cells_and_cells_to_entries_by_the_commitment() -> None:
    made = quantizer()
    latent = torch.tensor([0.8, 0.0]).view(1, 2, 1, 1).requires_grad_()
    loss = made(latent).loss
    assert torch.allclose(loss, torch.tensor(1.25 * 0.04 / 2))
    loss.backward()
    assert latent.grad is not None
    assert torch.allclose(latent.grad.flatten(), torch.tensor([0.25 * -0.2, 0.0]))
    assert made.embedding.weight.grad is not None
    assert torch.allclose(made.embedding.weight.grad[1], torch.tensor([0.2, 0.0]))
    assert torch.count_nonzero(made.embedding.weight.grad) == 1
