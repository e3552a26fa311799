"""The safety checker: the published file's network and verdict, and what its node does about a picture."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.core.errors import CheckpointError
from engine.families.safety.handle import NetworkSafetyChecker, find_concepts
from engine.families.safety.opening import open_safety_checker
from engine.families.vision.handle import clip_pixels
from engine.memory.device import cpu_device
from engine.memory.network import NetworkHost
from engine.nn.safety_checker import SafetyCheckerNetwork, safety_checker_config
from engine.nn.vision_transformer import VisionConfig
from engine.weights.checkpoint import open_checkpoint
from nodes.safety import check_safety

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "nodes"))

from node_context import KeepingContext

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker, cosine_distance
    from transformers import CLIPConfig

EDGE_PX = 28


def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(12, 40, 56, 3, generator=generator) * torch.linspace(0.1, 1.0, 12).view(12, 1, 1, 1)


@pytest.fixture(scope="module")
def theirs() -> StableDiffusionSafetyChecker:
    """A small one with random weights and thresholds that half of `pictures` exceed in one concept."""
    torch.manual_seed(0)
    vision = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 1}
    config = CLIPConfig(vision_config={**vision, "image_size": EDGE_PX, "patch_size": 7}, projection_dim=24)
    checker = StableDiffusionSafetyChecker(config).eval()
    for name in ("concept_embeds", "special_care_embeds"):
        getattr(checker, name).data.normal_()
    with torch.no_grad():
        seen = checker.visual_projection(checker.vision_model(clip_pixels(pictures(), EDGE_PX))[1])
    for kind, number in (("concept", 3), ("special_care", 1)):
        thresholds = getattr(checker, f"{kind}_embeds_weights").data.fill_(2.0)
        thresholds[number] = cosine_distance(seen, getattr(checker, f"{kind}_embeds"))[:, number].median() + 1e-4
    return checker


def published_names(checker: StableDiffusionSafetyChecker) -> dict[str, torch.Tensor]:
    """The names of the published file, which newer versions of the library shorten."""
    return {
        f"vision_model.{name}" if name.startswith("vision_model.") and name.count("vision_model.") == 1 else name: value
        for name, value in checker.state_dict().items()
    }


@pytest.fixture(scope="module")
def path(theirs: StableDiffusionSafetyChecker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("safety") / "model.safetensors"
    tensors = {name: value.contiguous() for name, value in published_names(theirs).items()}
    save_file({**tensors, "vision_model.vision_model.embeddings.position_ids": torch.arange(17)[None]}, path)
    return path


@pytest.fixture
def ours(path: Path) -> Iterator[NetworkSafetyChecker]:
    with open_checkpoint(path) as checkpoint:
        yield open_safety_checker(checkpoint, NetworkHost(cpu_device(), 1 << 30), lambda: "digest")


def test_the_network_computes_what_diffusers_computes(theirs: StableDiffusionSafetyChecker, path: Path) -> None:
    weights = {name: value for name, value in published_names(theirs).items() if "position_ids" not in name}
    config = safety_checker_config({name: tuple(value.shape) for name, value in weights.items()})
    assert config.vision == VisionConfig(64, 2, 1, 96, EDGE_PX, 7)
    assert (config.projection_width, config.num_concepts, config.num_special) == (24, 17, 3)
    network = SafetyCheckerNetwork(config)
    network.load_state_dict(weights)
    pixels = torch.randn(3, 3, EDGE_PX, EDGE_PX)
    with torch.no_grad():
        concepts, special = network(pixels)
        picture = theirs.visual_projection(theirs.vision_model(pixels)[1])
        wanted = cosine_distance(picture, theirs.concept_embeds) - theirs.concept_embeds_weights
        cared = cosine_distance(picture, theirs.special_care_embeds) - theirs.special_care_embeds_weights
    assert torch.allclose(concepts, wanted, atol=1e-5)
    assert torch.allclose(special, cared, atol=1e-5)


def test_the_verdict_is_that_of_diffusers(theirs: StableDiffusionSafetyChecker, ours: NetworkSafetyChecker) -> None:
    pixels = clip_pixels(pictures(), EDGE_PX)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, wanted = theirs(clip_input=pixels, images=np.zeros((12, 2, 2, 3), np.float32))
    found = [finding.is_flagged for finding in ours.check(pictures())]
    assert found == [bool(flag) for flag in wanted]
    assert len(set(found)) == 2


def test_a_special_concept_lowers_the_threshold_of_the_others() -> None:
    just_below = torch.tensor([-0.005, -0.5])
    assert not find_concepts(just_below, torch.tensor([-0.1])).is_flagged
    assert find_concepts(just_below, torch.tensor([0.1])).concepts == ((0, 0.005),)


def test_flagged_pictures_pass_are_blurred_or_become_black(ours: NetworkSafetyChecker, tmp_path: Path) -> None:
    images = pictures()
    flags = [finding.is_flagged for finding in ours.check(images)]
    assert len(set(flags)) == 2
    context = KeepingContext(tmp_path)
    passed, is_flagged, report = check_safety(images, ours, "flag", ctx=context)
    assert torch.equal(passed, images)
    assert is_flagged
    assert [line.startswith("flagged: concept") for line in report.splitlines()] == flags
    assert context.texts == [report]
    blurred, _, _ = check_safety(images, ours, "blur", ctx=context)
    blocked, _, _ = check_safety(images, ours, "block", ctx=context)
    for image, soft, black, flag in zip(images, blurred, blocked, flags, strict=True):
        assert torch.equal(image, soft) == torch.equal(image, black) == (not flag)
        if flag:
            assert black.count_nonzero() == 0
            assert soft.std() < image.std() / 2


def test_another_file_is_refused_by_what_it_is(tmp_path: Path) -> None:
    save_file({"concept_embeds": torch.zeros(17, 4)}, tmp_path / "odd.safetensors")
    with (
        open_checkpoint(tmp_path / "odd.safetensors") as checkpoint,
        pytest.raises(CheckpointError, match="not a safety"),
    ):
        open_safety_checker(checkpoint, NetworkHost(cpu_device(), 1 << 30), lambda: "digest")
