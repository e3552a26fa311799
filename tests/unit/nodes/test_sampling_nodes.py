"""Sampling, text and VAE nodes with a network-free model, text encoder and autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.api import latent_viewer
from engine.core.errors import Cancelled, NodeError
from engine.diffusion.latent_format import LatentFormat
from engine.diffusion.requests import drive
from nodes.conditioning import average, combine, concatenate, set_area, set_mask, set_trajectory_range, zero_out
from nodes.latent_empty import empty_latent_image
from nodes.loaders import load_checkpoint, load_vae
from nodes.sampling import ksampler, ksampler_advanced
from nodes.text import encode_text, set_last_layer
from nodes.vae import (
    condition_editing,
    condition_inpainting,
    decode,
    decode_tiled,
    encode,
    encode_for_inpainting,
    encode_tiled,
)
from tests.gaussian_denoiser import GaussianDenoiser

RGB = LatentFormat("rgb", num_channels=4, downscale=8, scale=1.0, rgb_factors=((1.0, 0.0, 0.0),) * 4)


@dataclass
class SamplingContext:
    """Keeps progress and previews; hands out files of a folder."""

    preview_method: str = "none"
    cancel_at: int = 10_000
    progressed: list[tuple[float, float]] = field(default_factory=list)
    previews: list[torch.Tensor] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: tuple[str, ...] = ()

    @property
    def models(self) -> SamplingContext:
        return self

    def progress(self, value: float, maximum: float, preview: torch.Tensor | None = None) -> None:
        if value >= self.cancel_at:
            raise Cancelled("The job was cancelled.")
        self.progressed.append((value, maximum))
        if preview is not None:
            self.previews.append(preview() if callable(preview) else preview)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def model_path(self, folder: str, name: str) -> Path:
        if self.files and name not in self.files:
            raise NodeError(f"There is no {name}.", code="not_found")
        return Path(folder) / name

    def open_checkpoint(self, path: Path) -> tuple[str, str, str]:
        return (f"model of {path}", f"clip of {path}", f"vae of {path}")

    def open_vae(self, path: Path) -> str:
        return f"vae of {path}"

    def open_taesd(self, encoder: Path, decoder: Path) -> str:
        return f"{encoder} and {decoder}"

    def pixel_space_vae(self) -> str:
        return "pixels"


@dataclass(frozen=True)
class Encoding:
    context: torch.Tensor
    pooled: torch.Tensor | None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LengthEncoder:
    """Encodes a text as its length, in the layer it is set to."""

    layer: int = -1
    has_pooled: bool = True

    def encode(self, text: str, *, warn: Any) -> Encoding:
        if "embedding:" in text:
            warn("no such embedding")
        return Encoding(torch.full((1, 3, 2), float(len(text))), torch.ones(1, 2) if self.has_pooled else None)

    def with_last_layer(self, last_layer: int) -> LengthEncoder:
        return replace(self, layer=last_layer)


@dataclass
class ShrinkingVae:
    """Averages 8x8 pixels; remembers what it was asked."""

    downscale: int = 8
    asked: list[Any] = field(default_factory=list)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        self.asked.append(image)
        return torch.nn.functional.avg_pool2d(image.movedim(-1, 1), 8)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return latent.repeat_interleave(8, -1).repeat_interleave(8, -2).movedim(1, -1)

    def encode_tiled(self, image: torch.Tensor, *, tile: int, overlap: int) -> torch.Tensor:
        self.asked.append((tile, overlap))
        return self.encode(image)

    def decode_tiled(self, latent: torch.Tensor, *, tile: int, overlap: int) -> torch.Tensor:
        self.asked.append((tile, overlap))
        return self.decode(latent)


def conditioning(mean: float) -> list[Any]:
    return [[torch.full((1, 3, 2), mean), {}]]


def sampled(ctx: SamplingContext | None = None, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": GaussianDenoiser(latent_format=RGB),
        "seed": 3,
        "steps": 4,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "positive": conditioning(1.0),
        "negative": conditioning(-1.0),
        "latent_image": empty_latent_image(64, 64, 1),
        "denoise": 1.0,
        "ctx": ctx or SamplingContext(),
    }
    return drive(ksampler(**{**arguments, **changes}))


def advanced(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": GaussianDenoiser(),
        "add_noise": "enable",
        "noise_seed": 3,
        "steps": 4,
        "cfg": 2.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "positive": conditioning(1.0),
        "negative": conditioning(-1.0),
        "latent_image": empty_latent_image(64, 64, 1),
        "start_at_step": 0,
        "end_at_step": 10_000,
        "return_with_leftover_noise": "disable",
        "ctx": SamplingContext(),
    }
    return drive(ksampler_advanced(**{**arguments, **changes}))


def test_the_advanced_sampler_over_the_whole_schedule_is_the_plain_one() -> None:
    assert torch.equal(advanced()["samples"], sampled()["samples"])


def test_two_advanced_samplers_that_share_a_schedule_make_the_plain_one() -> None:
    first = advanced(end_at_step=2, return_with_leftover_noise="enable")
    second = advanced(start_at_step=2, add_noise="disable", latent_image=first)
    assert torch.allclose(second["samples"], sampled()["samples"], atol=1e-5)


def test_everything_else_in_a_latent_is_handed_on() -> None:
    latent = {**empty_latent_image(64, 64, 1), "batch_index": [2], "more": 1}
    result = sampled(latent_image=latent)
    assert result["batch_index"] == [2]
    assert result["more"] == 1


def test_the_noise_mask_stays_with_the_latent_as_it_was() -> None:
    mask = torch.ones(1, 1, 64, 64)
    assert sampled(latent_image={**empty_latent_image(64, 64, 1), "noise_mask": mask})["noise_mask"] is mask


def test_no_denoising_gives_the_latent_back() -> None:
    latent = {"samples": torch.randn(1, 4, 8, 8)}
    assert torch.equal(sampled(latent_image=latent, denoise=0.0)["samples"], latent["samples"])


def test_every_step_is_reported_to_the_context() -> None:
    ctx = SamplingContext()
    sampled(ctx)
    assert ctx.progressed == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert ctx.previews == []


def test_previews_are_pictures_when_the_job_wants_them() -> None:
    ctx = SamplingContext(preview_method="auto")
    sampled(ctx)
    assert [tuple(picture.shape) for picture in ctx.previews] == [(8, 8, 3)] * 4


def test_previews_by_taesd_are_decoded_by_the_file_of_the_latent_format() -> None:
    asked: list[Path] = []

    class Decoding(SamplingContext):
        def open_preview_decoder(self, path: Path) -> Any:
            asked.append(path)
            return SimpleNamespace(picture=lambda latent: torch.ones(2, 3, 3))

    for name, file in (("sd1", "taesd_decoder.safetensors"), ("sdxl", "taesdxl_decoder.pth")):
        viewer = latent_viewer(Decoding(preview_method="taesd", files=(file,)), replace(RGB, name=name))
        assert torch.equal(viewer(torch.zeros(1, 4, 8, 8)), torch.ones(2, 3, 3))
        assert asked.pop() == Path("vae_approx") / file
    ctx = Decoding(preview_method="auto", files=("taesd_decoder.safetensors",))
    latent_viewer(ctx, replace(RGB, name="sd1"))
    assert asked == []
    latent_viewer(ctx, replace(RGB, name="sd1", rgb_factors=()))
    assert asked == [Path("vae_approx/taesd_decoder.safetensors")]


def test_previews_without_the_decoder_file_are_coarse_colours_with_a_warning() -> None:
    ctx = SamplingContext(preview_method="taesd", files=("other",))
    viewer = latent_viewer(ctx, replace(RGB, name="sd1"))
    assert viewer(torch.zeros(2, 4, 8, 8)).shape == (8, 8, 3)
    assert ctx.warnings == ["Previews are coarse colours: There is no taesd_decoder.safetensors."]


def test_cancelling_at_a_step_ends_the_flow_there() -> None:
    ctx = SamplingContext(cancel_at=2)
    with pytest.raises(Cancelled):
        sampled(ctx)
    assert ctx.progressed == [(1, 4)]


@pytest.mark.parametrize(("name", "value"), [("sampler_name", "nope"), ("scheduler", "nope"), ("model", None)])
def test_a_missing_method_or_model_is_a_clear_error(name: str, value: object) -> None:
    with pytest.raises(NodeError):
        sampled(**{name: value})


# ------------------------------------------------------------------ text


def test_text_becomes_one_pair_with_its_pooled_vector() -> None:
    ((context, options),) = encode_text("abc", LengthEncoder(), SamplingContext())
    assert float(context[0, 0, 0]) == 3.0
    assert torch.equal(options["pooled_output"], torch.ones(1, 2))


def test_an_encoder_without_pooled_output_leaves_the_key_out() -> None:
    ((_, options),) = encode_text("abc", LengthEncoder(has_pooled=False), SamplingContext())
    assert "pooled_output" not in options


def test_warnings_of_the_encoder_reach_the_context() -> None:
    ctx = SamplingContext()
    encode_text("embedding:missing", LengthEncoder(), ctx)
    assert ctx.warnings == ["no such embedding"]


def test_a_checkpoint_without_text_encoder_is_a_clear_error() -> None:
    with pytest.raises(NodeError) as raised:
        encode_text("abc", None, SamplingContext())
    assert raised.value.code == "missing_text_encoder"


def test_the_last_layer_is_set_on_a_new_handle() -> None:
    clip = LengthEncoder()
    assert set_last_layer(clip, -2).layer == -2
    assert clip.layer == -1


# ------------------------------------------------------------------ conditioning


def test_combining_keeps_both_sides_in_order() -> None:
    assert [float(context[0, 0, 0]) for context, _ in combine(conditioning(1.0), conditioning(2.0))] == [1.0, 2.0]


def test_concatenating_appends_the_tokens() -> None:
    ((context, _),) = concatenate(conditioning(1.0), conditioning(2.0))
    assert context[0, :, 0].tolist() == [1.0] * 3 + [2.0] * 3


def test_averaging_mixes_tokens_and_pooled_vectors() -> None:
    to = [[torch.full((1, 4, 2), 1.0), {"pooled_output": torch.ones(1, 2)}]]
    other = [[torch.full((1, 2, 2), 5.0), {"pooled_output": torch.zeros(1, 2)}]]
    ((context, options),) = average(to, other, 0.75)
    assert context[0, :, 0].tolist() == [2.0, 2.0, 0.75, 0.75]
    assert options["pooled_output"].tolist() == [[0.75, 0.75]]


def test_an_area_is_kept_in_cells() -> None:
    ((_, options),) = set_area(conditioning(1.0), 128, 64, 8, 16, 0.5)
    assert options["area"] == (8, 16, 2, 1)
    assert options["strength"] == 0.5


def test_options_are_set_on_new_pairs() -> None:
    original = conditioning(1.0)
    set_trajectory_range(original, 0.25, 0.5)
    set_mask(original, torch.ones(8, 8), 1.0, set_cond_area="mask bounds")
    assert original[0][1] == {}


def test_a_flat_mask_gets_a_batch_axis() -> None:
    ((_, options),) = set_mask(conditioning(1.0), torch.ones(8, 8), 0.5, set_cond_area="default")
    assert options["mask"].shape == (1, 8, 8)
    assert options["set_area_to_bounds"] is False


def test_zeroing_zeroes_tokens_and_pooled_vectors() -> None:
    ((context, options),) = zero_out([[torch.ones(1, 2, 2), {"pooled_output": torch.ones(1, 2)}]])
    assert context.abs().max() == 0
    assert options["pooled_output"].abs().max() == 0


def test_an_empty_conditioning_to_take_from_is_a_clear_error() -> None:
    with pytest.raises(NodeError, match="empty"):
        concatenate(conditioning(1.0), [])


# ------------------------------------------------------------------ images


def test_decoding_gives_an_image_and_encoding_a_latent() -> None:
    image = decode({"samples": torch.rand(1, 3, 4, 5)}, ShrinkingVae())
    assert image.shape == (1, 32, 40, 3)
    assert encode(image, ShrinkingVae())["samples"].shape == (1, 3, 4, 5)


def test_tiles_are_given_in_cells_for_decoding_and_in_pixels_for_encoding() -> None:
    vae = ShrinkingVae()
    decode_tiled({"samples": torch.rand(1, 3, 4, 4)}, vae, 256, 32)
    encode_tiled(torch.rand(1, 32, 32, 3), vae, 256, 32)
    assert [asked for asked in vae.asked if isinstance(asked, tuple)] == [(32, 4), (256, 32)]


def test_tiles_overlap_by_a_quarter_at_most() -> None:
    vae = ShrinkingVae()
    decode_tiled({"samples": torch.rand(1, 3, 4, 4)}, vae, 64, 256)
    assert vae.asked == [(8, 2)]


def test_inpainting_greys_out_the_hole_and_grows_the_mask() -> None:
    vae = ShrinkingVae()
    mask = torch.zeros(32, 32)
    mask[12:20, 12:20] = 1.0
    result = encode_for_inpainting(torch.ones(1, 32, 32, 3), vae, mask, 4)
    assert torch.equal(vae.asked[0][0, 12:20, 12:20], torch.full((8, 8, 3), 0.5))
    assert float(vae.asked[0].sum()) == 32 * 32 * 3 - 0.5 * 64 * 3
    grown = result["noise_mask"]
    assert grown.shape == (1, 1, 32, 32)
    assert float(grown.sum()) == 11 * 11
    assert float(grown[0, 0, 11:22, 11:22].min()) == 1.0


def test_inpainting_networks_are_shown_the_greyed_picture_and_the_mask() -> None:
    pixels, mask = torch.rand(1, 38, 32, 4), torch.zeros(1, 32, 32)
    mask[:, :16] = 0.7
    positive, negative, latent = condition_inpainting(
        conditioning(1.0), conditioning(2.0), ShrinkingVae(), pixels, mask
    )
    whole = ShrinkingVae().encode(pixels[:, 3:35, :, :3])
    assert torch.equal(latent["samples"], whole)
    assert latent["noise_mask"].shape == (1, 1, 32, 32)
    for side, mean in ((positive, 1.0), (negative, 2.0)):
        tokens, options = side[0]
        assert float(tokens.mean()) == mean
        assert torch.equal(options["concat_mask"], latent["noise_mask"])
        assert torch.equal(options["concat_latent_image"][:, :, 2:], whole[:, :, 2:])
        assert torch.equal(options["concat_latent_image"][:, :, :1], torch.full((1, 3, 1, 4), 0.5))
    assert "noise_mask" not in condition_inpainting([], [], ShrinkingVae(), pixels, mask, noise_mask=False)[2]


def test_editing_networks_are_shown_the_picture_and_start_from_nothing() -> None:
    pixels = torch.rand(1, 38, 32, 3)
    positive, negative, latent = condition_editing(conditioning(1.0), conditioning(2.0), ShrinkingVae(), pixels)
    assert torch.equal(latent["samples"], torch.zeros(1, 3, 4, 4))
    shown = [side[0][1]["concat_latent_image"] for side in (positive, negative)]
    assert all(torch.equal(picture, ShrinkingVae().encode(pixels)) for picture in shown)


def test_inpainting_without_growth_keeps_the_mask() -> None:
    mask = torch.zeros(1, 32, 32)
    mask[:, :8] = 0.7
    result = encode_for_inpainting(torch.ones(1, 32, 32, 3), ShrinkingVae(), mask, 0)
    assert torch.equal(result["noise_mask"], mask.round()[None])


def test_inpainting_crops_evenly_to_whole_cells() -> None:
    vae = ShrinkingVae()
    image = torch.arange(38.0).view(1, 38, 1, 1).expand(1, 38, 32, 3)
    result = encode_for_inpainting(image, vae, torch.zeros(38, 32), 6)
    assert vae.asked[0][0, :, 0, 0].tolist() == list(range(3, 35))
    assert result["noise_mask"].shape == (1, 1, 32, 32)


def test_inpainting_does_not_change_the_image_it_is_given() -> None:
    image = torch.ones(1, 32, 32, 4)
    encode_for_inpainting(image, ShrinkingVae(), torch.ones(32, 32), 6)
    assert torch.equal(image, torch.ones(1, 32, 32, 4))


def test_a_checkpoint_without_autoencoder_is_a_clear_error() -> None:
    with pytest.raises(NodeError) as raised:
        decode({"samples": torch.rand(1, 3, 4, 4)}, None)
    assert raised.value.code == "missing_autoencoder"


# ------------------------------------------------------------------ loaders


def test_a_checkpoint_s_parts_are_those_of_its_file() -> None:
    parts = load_checkpoint("a.safetensors", SamplingContext())
    assert [part.split(" ")[0] for part in parts] == ["model", "clip", "vae"]
    assert parts[0].endswith("a.safetensors")


def test_a_tiny_autoencoder_is_looked_for_in_both_formats() -> None:
    ctx = SamplingContext(files=("taesd_encoder.pth", "taesd_decoder.safetensors"))
    assert load_vae("taesd", ctx) == "vae_approx/taesd_encoder.pth and vae_approx/taesd_decoder.safetensors"


def test_the_pixel_space_vae_needs_no_file() -> None:
    assert load_vae("pixel_space", SamplingContext(files=("other",))) == "pixels"


def test_a_missing_tiny_autoencoder_is_a_clear_error() -> None:
    with pytest.raises(NodeError, match="no taesd_encoder and no taesd_decoder"):
        load_vae("taesd", SamplingContext(files=("other",)))
    with pytest.raises(NodeError, match=r"there is no taesd_encoder\.$"):
        load_vae("taesd", SamplingContext(files=("taesd_decoder.safetensors",)))
