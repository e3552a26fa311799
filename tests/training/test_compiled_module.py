"""A compiled model computes the same, under the same names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.training.context import BuildContext
from engine.training.data.collate import collate
from engine.training.data.place import Place
from engine.training.data.source import OpenContext
from engine.training.diffusion_module import DiffusionModule
from engine.training.samples import SamplesRecipe, draw_samples
from tests.training.tiny_recipes import recipe

torch.set_num_threads(1)


# While tracing, torch looks at this attribute and hides the warning it causes; as an error it cannot be hidden.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_model_has_the_same_loss_names_and_samples(tmp_path: Path) -> None:
    wanted = recipe()
    plain, compiled = (DiffusionModule(wanted.model, BuildContext(tmp_path, 3)) for _ in range(2))
    compiled.compile(backend="aot_eager")
    compiled.use_channels_last()
    source = wanted.data.source.open(OpenContext(tmp_path, 3))
    batch = {**collate([source[Place(index, index)] for index in range(4)]), "first_draw": 0}
    losses = [module.loss(batch, 4) for module in (plain, compiled)]
    for loss in losses:
        loss.backward()
    assert torch.allclose(*losses, rtol=1e-5)
    assert plain.trained_parameters().keys() == compiled.trained_parameters().keys()
    for name, parameter in plain.trained_parameters().items():
        assert torch.allclose(parameter.grad, compiled.get_parameter(name).grad, atol=1e-5), name
    samples = SamplesRecipe((8, 8), num=3, steps=2, classes=(1, 2))
    assert torch.allclose(draw_samples(plain, samples), draw_samples(compiled, samples), atol=1e-4)
