"""Nodes around models of several families: sizes beside the text, parts in files of their own, other predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.core.errors import NodeError
from engine.diffusion.prediction import EdmPrediction, EpsPrediction, LcmPrediction, VPrediction
from engine.nn.unet import UNetConfig
from nodes.loaders import load_clip, load_clip_pair, load_diffusion_model
from nodes.model_sampling import sample_continuous_edm, sample_continuous_v, sample_discrete
from nodes.text_xl import encode_text_refiner, encode_text_xl
from tests.tiny_families import small_file
from tests.tiny_sd1 import host_with, store_on

SDXL = UNetConfig(4, 4, 32, (1, 2), 1, (0, 1), 1, 96, head_channels=64, uses_linear=True, vector_width=40 + 6 * 256)


@dataclass
class Library:
    """Says what it was asked to open."""

    warnings: list[str] = field(default_factory=list)

    @property
    def models(self) -> Library:
        return self

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def model_path(self, folder: str, name: str) -> Path:
        return Path(folder) / name

    def open_diffusion_model(self, path: Path, weight_dtype: str = "default") -> tuple[Any, ...]:
        return path.as_posix(), weight_dtype

    def open_text_encoders(self, paths: list[Path], *, on_cpu: bool = False) -> tuple[Any, ...]:
        return [path.as_posix() for path in paths], on_cpu


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory):
    path = small_file("sdxl", tmp_path_factory.mktemp("xl"), SDXL)
    return store_on(host_with()).open_checkpoint(path)


@dataclass
class Encoder:
    """A clip of one encoder."""

    key: str

    def tokenize(self, text: str, **options: Any) -> dict[str, Any]:
        return {self.key: [[(len(text), 1.0)]]}


# ------------------------------------------------------------------ text


def test_two_texts_and_six_sizes_become_one_conditioning(parts) -> None:
    clip = parts[1]
    ((context, options),) = encode_text_xl(
        clip=clip, width=1, height=2, crop_w=3, crop_h=4, target_width=5, target_height=6,
        text_g="a fox", text_l="snow", ctx=Library(),
    )  # fmt: skip
    wanted = clip.encode_tokens({"g": clip.tokenize("a fox")["g"], "l": clip.tokenize("snow")["l"]})
    assert torch.equal(context, wanted.context)
    assert torch.equal(options.pop("pooled_output"), wanted.pooled)
    assert options == {
        "width": 1, "height": 2, "crop_w": 3, "crop_h": 4, "target_width": 5, "target_height": 6,
    }  # fmt: skip


@pytest.mark.parametrize("long_one", ["text_g", "text_l"])
def test_the_shorter_of_two_texts_is_filled_up_with_empty_chunks(parts, long_one: str) -> None:
    texts = {"text_g": "a fox", "text_l": "a fox", long_one: "fox " * 60}
    ((context, _),) = encode_text_xl(clip=parts[1], **texts, ctx=Library())
    chunks = len(parts[1].tokenize("fox " * 60)["g"])
    assert chunks > 1
    assert context.shape == (1, 77 * chunks, 96)


def test_a_clip_of_another_kind_is_named(parts) -> None:
    with pytest.raises(NodeError, match="the clip has h") as caught:
        encode_text_xl(clip=Encoder("h"), text_g="", text_l="", ctx=Library())
    assert caught.value.input == "clip"
    with pytest.raises(NodeError, match="clip input is empty"):
        encode_text_refiner(text="", clip=None, ctx=Library())


def test_the_refiner_s_text_carries_a_score_and_a_size(parts) -> None:
    clip = parts[1].second
    ((context, options),) = encode_text_refiner(ascore=7.5, width=8, height=9, text="a fox", clip=clip, ctx=Library())
    assert torch.equal(context, clip.encode("a fox").context)
    assert options.pop("pooled_output").shape == (1, 40)
    assert options == {"aesthetic_score": 7.5, "width": 8, "height": 9}


# ------------------------------------------------------------------ files


def test_loaders_ask_for_the_files_of_their_folders() -> None:
    ctx = Library()
    assert load_diffusion_model("a", "default", ctx) == ("diffusion_models/a", "default")
    assert load_diffusion_model("a", "fp8_e5m2", ctx) == ("diffusion_models/a", "float8_e5m2")
    assert load_diffusion_model("a", "fp8_e4m3fn_fast", ctx) == ("diffusion_models/a", "float8_e4m3fn")
    assert load_clip("a", "stable_diffusion", ctx) == (["text_encoders/a"], False)
    assert load_clip("a", "stable_diffusion", ctx, "cpu") == (["text_encoders/a"], True)
    assert load_clip_pair("a", "b", "sdxl", ctx) == (["text_encoders/a", "text_encoders/b"], False)


def test_types_of_text_encoders_that_no_family_has_are_named() -> None:
    with pytest.raises(NodeError, match="'wan'"):
        load_clip("a", "wan", Library())
    with pytest.raises(NodeError, match="'flux'"):
        load_clip_pair("a", "b", "flux", Library())


# ------------------------------------------------------------------ predictions


def test_a_model_is_read_as_trained_over_steps(parts) -> None:
    model = parts[0]
    found = sample_discrete(model, "v_prediction", zsnr=True)
    assert found.parameterization.prediction == VPrediction()
    assert found.parameterization.sigma_table.sigma_max == pytest.approx(4518.7, abs=0.5)
    assert found.identity != model.identity
    same = sample_discrete(model, "eps", zsnr=False)
    assert same.identity == model.identity
    assert type(sample_discrete(model, "lcm").parameterization.prediction) is LcmPrediction


@pytest.mark.parametrize("sampling", ["x0", "img_to_img"])
def test_networks_that_predict_the_picture_are_taken_at_their_word(parts, sampling: str) -> None:
    parameterization = sample_discrete(parts[0], sampling).parameterization
    x, sigma = torch.randn(2, 4, 3, 3), torch.tensor([2.0, 5.0])
    seen: list[torch.Tensor] = []

    def network(scaled: torch.Tensor, c_noise: torch.Tensor, inputs: Any) -> torch.Tensor:
        seen.append(scaled)
        return torch.full_like(scaled, 7.0)

    assert torch.equal(parameterization.denoise(network, x, sigma, None), torch.full_like(x, 7.0))
    scale = 1.0 if sampling == "img_to_img" else (sigma**2 + 1).rsqrt().view(2, 1, 1, 1)
    assert torch.allclose(seen[0], x * scale)


def test_a_model_is_read_as_trained_over_all_levels(parts) -> None:
    edm = sample_continuous_edm(parts[0], "edm", 80.0, 0.01).parameterization
    assert edm.prediction == EdmPrediction()
    assert (edm.sigma_table.sigma_min, edm.sigma_table.sigma_max) == (0.01, 80.0)
    assert sample_continuous_edm(parts[0], "eps").parameterization.prediction == EpsPrediction()
    velocity = sample_continuous_v(parts[0], "v_prediction").parameterization
    assert velocity.prediction == VPrediction()
    table = velocity.sigma_table
    assert float(table.c_noise(torch.tensor([1.0]))[0]) == pytest.approx(0.5)
    assert table.sigma_at(table.timestep(3.0)) == pytest.approx(3.0)
    assert table.sigma_at_fraction(0.5) == pytest.approx((0.03 * 500) ** 0.5)
    assert len(table.sigmas) == 1000


def test_what_a_model_cannot_be_read_as_is_a_clear_error(parts) -> None:
    with pytest.raises(NodeError, match="cosmos_rflow"):
        sample_continuous_edm(parts[0], "cosmos_rflow")
    with pytest.raises(NodeError, match="smallest level"):
        sample_continuous_v(parts[0], "v_prediction", 1.0, 2.0)
