"""Stable Diffusion 2, XL and the XL refiner: published layouts, and small files of the same structure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError, NodeError
from engine.diffusion.conditioning import ConditioningEntry, as_negative
from engine.diffusion.prediction import EdmPrediction, EpsPrediction, VPrediction
from engine.diffusion.sigma_table import DiscreteSigmaTable, EdmSigmaTable
from engine.families.registry import find_families
from engine.nn.embeddings import sinusoidal_embedding
from engine.nn.unet import UNetConfig
from engine.weights.patches import PatchSet
from tests.tiny_families import layout, layout_file, small_file
from tests.tiny_sd1 import host_with, store_on

torch.set_num_threads(1)

SD2 = UNetConfig(4, 4, 32, (1, 2), 1, (1, 0), 1, 32, head_channels=64, uses_linear=True)
XL_VECTOR = 40 + 6 * 256
SDXL = UNetConfig(4, 4, 32, (1, 2), 1, (0, 2), 2, 96, head_channels=64, uses_linear=True, vector_width=XL_VECTOR)
REFINER = replace(SDXL, context_width=64, vector_width=40 + 5 * 256)
SMALL = {"sd2": SD2, "sdxl": SDXL, "sdxl_refiner": REFINER}
LATENT = torch.zeros(1, 4, 8, 12)

PUBLISHED = {
    "sd21-768-v": ("sd2", 4, (1, 1, 1, 0), 1024),
    "sd21-base-512": ("sd2", 4, (1, 1, 1, 0), 1024),
    "sd-turbo": ("sd2", 4, (1, 1, 1, 0), 1024),
    "sd2-inpainting": ("sd2", 9, (1, 1, 1, 0), 1024),
    "sdxl-base-1.0": ("sdxl", 4, (0, 2, 10), 2048),
    "sdxl-turbo": ("sdxl", 4, (0, 2, 10), 2048),
    "sdxl-vpred": ("sdxl", 4, (0, 2, 10), 2048),
    "sdxl-refiner-1.0": ("sdxl_refiner", 4, (0, 4, 4, 0), 1280),
}


@dataclass(frozen=True)
class Shift:
    """Adds 1 to one weight."""

    name: str
    identity: str = "shift"

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        assert name == self.name
        return weight.add_(1.0)


def opened(path: Path):
    return store_on(host_with()).open_checkpoint(path)


def small(family: str, folder: Path, **marks: torch.Tensor):
    names = {name.replace("__", "."): value for name, value in marks.items()}
    return opened(small_file(family, folder, SMALL[family], names))


def entry(clip, text: str = "a fox", **extras: float) -> ConditioningEntry:
    encoding = clip.encode(text)
    return ConditioningEntry(context=encoding.context, pooled=encoding.pooled, extras=extras)


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_key_of_a_published_file_is_used_or_known_to_be_harmless(name: str, tmp_path: Path) -> None:
    family, in_channels, depths, context_width = PUBLISHED[name]
    host = host_with(budget_bytes=0)
    model, clip, vae = store_on(host).open_checkpoint(layout_file(name, tmp_path))
    assert (model.family, clip.family, model.in_channels, model.context_width) == (
        family,
        family,
        in_channels,
        context_width,
    )
    assert model.form.config.transformer_depth == depths
    assert model.form.config.output_depths is None
    assert (vae.num_latent_channels, vae.downscale) == (4, 8)
    assert host.resident_bytes == 0


@pytest.mark.parametrize("name", ["sd21-768-v", "sdxl-base-1.0", "sdxl-refiner-1.0"])
def test_a_network_alone_is_recognised_by_its_widths(name: str) -> None:
    prefix = "model.diffusion_model."
    for new in ("", "diffusion_model.", prefix):
        shapes = {new + k.removeprefix(prefix): s for k, (_, s) in layout(name).items() if k.startswith(prefix)}
        match = find_families().detect("file", shapes)
        assert (match.family, match.config.unet_prefix) == (PUBLISHED[name][0], new)
        assert match.config.text is None


@pytest.mark.parametrize("channels", [8, 9])
def test_networks_for_editing_and_inpainting_are_recognised_by_their_channels(channels: int) -> None:
    shapes = {key: shape for key, (_, shape) in layout("sdxl-base-1.0").items()}
    shapes["model.diffusion_model.input_blocks.0.0.weight"] = (320, channels, 3, 3)
    assert ("editing" if channels == 8 else "inpainting") in find_families().detect("file", shapes).description


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("surprise", "nothing is known to use: surprise"),
        ("model.diffusion_model.surprise", "U-Net has 1 unknown"),
    ],
)
def test_an_unknown_key_is_refused_by_name(family: str, key: str, message: str, tmp_path: Path) -> None:
    path = small_file(family, tmp_path, SMALL[family], {key: torch.zeros(1)})
    with pytest.raises(CheckpointError, match=message):
        opened(path)


@pytest.mark.parametrize("family", SMALL)
def test_a_missing_key_is_named(family: str, tmp_path: Path) -> None:
    tensors = load_file(small_file(family, tmp_path, SMALL[family]))
    key = next(key for key in tensors if key.endswith("model.ln_final.bias"))
    del tensors[key]
    save_file(tensors, tmp_path / "cut.safetensors")
    with pytest.raises(CheckpointError, match=r"text encoder lacks .*final_layer_norm\.bias"):
        opened(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("name", ["lora-kohya-sdxl", "lora-lcm-sdxl", "lora-peft-sdxl", "lora-dora-peft-sdxl"])
def test_every_module_of_published_xl_adapters_has_its_place(name: str, tmp_path: Path) -> None:
    store = store_on(host_with(budget_bytes=0))
    model, clip, _ = store.open_checkpoint(layout_file("sdxl-base-1.0", tmp_path))
    warnings: list[str] = []
    adapter = store.open_adapter(layout_file(name, tmp_path))
    patched, text = adapter.apply(model, clip, 1.0, 1.0, warnings.append)
    assert warnings == []
    assert len(patched.patches.names) > 100
    has_text = name in ("lora-kohya-sdxl", "lora-peft-sdxl")
    assert (text.identity != clip.identity) == has_text


# ------------------------------------------------------------------ what is predicted


@pytest.mark.parametrize(("spread", "wanted"), [(0.2, VPrediction()), (0.02, EpsPrediction())])
def test_the_spread_of_one_weight_tells_velocity_from_noise(spread: float, wanted, tmp_path: Path) -> None:
    unet = replace(SD2, channel_mult=(1, 1, 1, 1), num_res_blocks=2, transformer_depth=(1, 0, 0, 0))
    key = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    path = small_file("sd2", tmp_path, unet, {key: torch.tensor([spread, -spread] * 16)})
    assert opened(path)[0].parameterization.prediction == wanted


def test_metadata_and_marks_come_before_the_spread(tmp_path: Path) -> None:
    tensors = load_file(small_file("sd2", tmp_path, SD2))
    path = tmp_path / "stated.safetensors"
    for stated, wanted in (("v", VPrediction()), ("epsilon", EpsPrediction())):
        save_file(tensors, path, {"modelspec.prediction_type": stated})
        assert opened(path)[0].parameterization.prediction == wanted
    save_file({**tensors, "v_pred": torch.zeros(0)}, path, {"modelspec.prediction_type": "epsilon"})
    assert opened(path)[0].parameterization.prediction == VPrediction()


def test_marks_of_xl_files_say_what_they_predict(tmp_path: Path) -> None:
    empty = torch.zeros(0)
    plain = small("sdxl", tmp_path)[0].parameterization
    assert plain.prediction == EpsPrediction()
    assert plain.sigma_table.sigma_max == pytest.approx(14.6146, abs=1e-3)
    velocity = small("sdxl", tmp_path, v_pred=empty)[0].parameterization
    assert velocity.prediction == VPrediction()
    assert velocity.sigma_table.identity == plain.sigma_table.identity
    zero_terminal = small("sdxl", tmp_path, v_pred=empty, ztsnr=empty)[0].parameterization
    assert zero_terminal.prediction == VPrediction()
    assert isinstance(zero_terminal.sigma_table, DiscreteSigmaTable)
    assert zero_terminal.sigma_table.sigma_max == pytest.approx(4518.7, abs=0.5)
    assert zero_terminal.sigma_table.sigma_min == pytest.approx(plain.sigma_table.sigma_min, rel=1e-4)
    levels = {"edm_vpred__sigma_max": torch.tensor(100.0), "edm_vpred__sigma_min": torch.tensor(0.01)}
    continuous = small("sdxl", tmp_path, **levels)[0].parameterization
    assert continuous.prediction == VPrediction()
    assert continuous.sigma_table == EdmSigmaTable(pytest.approx(0.01), 100.0)


def test_the_marks_of_playground_change_prediction_and_latents(tmp_path: Path) -> None:
    means, deviations = torch.tensor([1.0, -2.0, 3.0, 0.5]), torch.tensor([2.0, 4.0, 5.0, 8.0])
    model = small("sdxl", tmp_path, edm_mean=means.view(1, 4, 1, 1), edm_std=deviations.view(1, 4, 1, 1))[0]
    assert model.parameterization.prediction == EdmPrediction(0.5)
    assert model.parameterization.sigma_table == EdmSigmaTable(0.002, 80.0)
    latent = torch.randn(2, 4, 3, 5)
    scaled = model.latent_format.to_network(latent)
    assert torch.allclose(scaled, (latent - means.view(1, 4, 1, 1)) / deviations.view(1, 4, 1, 1) * 0.5)
    assert torch.allclose(model.latent_format.from_network(scaled), latent, atol=1e-5)
    plain = small("sdxl", tmp_path)[0].latent_format
    assert torch.allclose(model.latent_format.preview(scaled), plain.preview(plain.to_network(latent)), atol=1e-5)


# ------------------------------------------------------------------ text


def test_both_encoders_of_xl_see_the_text_and_stand_side_by_side(tmp_path: Path) -> None:
    clip = small("sdxl", tmp_path)[1]
    tokens = clip.tokenize("a (red:1.3) fox")
    assert sorted(tokens) == ["g", "l"]
    assert [entry[0] for entry in tokens["l"][0]][-1] == 599
    assert [entry[0] for entry in tokens["g"][0]][-1] == 0
    encoding = clip.encode_tokens(tokens)
    one, two = clip.first.encode_tokens(tokens), clip.second.encode_tokens(tokens)
    assert torch.equal(encoding.context, torch.cat([one.context, two.context], dim=2))
    assert encoding.context.shape == (1, 77, 96)
    assert torch.equal(encoding.pooled, two.pooled)
    assert encoding.pooled.shape == (1, 40)


def test_a_long_text_is_cut_to_the_shorter_of_two_token_batches(tmp_path: Path) -> None:
    clip = small("sdxl", tmp_path)[1]
    long, short = clip.tokenize("fox " * 100), clip.tokenize("a fox")
    assert clip.encode_tokens(long).context.shape[1] == 77 * len(long["g"])
    assert clip.encode_tokens({"g": long["g"], "l": short["l"]}).context.shape[1] == 77
    with pytest.raises(NodeError, match="'l' and 'g'"):
        clip.encode_tokens({"g": long["g"]})


@pytest.mark.parametrize("family", SMALL)
def test_the_last_layer_but_one_is_used_unless_another_is_asked_for(family: str, tmp_path: Path) -> None:
    clip = small(family, tmp_path)[1]
    usual = clip.encode("a fox")
    assert torch.equal(clip.with_last_layer(-2).encode("a fox").context, usual.context)
    other = clip.with_last_layer(-1)
    assert other.identity != clip.identity
    assert not torch.allclose(other.encode("a fox").context, usual.context)
    assert torch.equal(other.encode("a fox").pooled, usual.pooled)


def test_embeddings_for_two_encoders_come_from_one_file(tmp_path: Path) -> None:
    path = small_file("sdxl", tmp_path, SDXL)
    (tmp_path / "words").mkdir()
    save_file({"clip_l": torch.ones(2, 32), "clip_g": torch.ones(3, 64)}, tmp_path / "words" / "both.safetensors")
    clip = store_on(host_with(), embeddings=tmp_path / "words").open_checkpoint(path)[1]
    warnings: list[str] = []
    tokens = clip.tokenize("embedding:both embedding:none", warn=warnings.append)
    vectors = {key: [e[0] for e in chunks[0] if isinstance(e[0], torch.Tensor)] for key, chunks in tokens.items()}
    assert {key: (len(found), len(found[0])) for key, found in vectors.items()} == {"l": (2, 32), "g": (3, 64)}
    assert warnings == ["There is no embedding 'none'; it was left out."]


def test_patches_of_two_encoders_reach_the_one_they_are_for(tmp_path: Path) -> None:
    clip = small("sdxl", tmp_path)[1]
    name = "text_model.final_layer_norm.bias"
    assert f"g.{name}" in clip.weight_shapes
    assert (
        clip.adapter_modules["lora_te2_text_model_encoder_layers_0_mlp_fc1"] == "g.text_model.encoder.layers.0.mlp.fc1"
    )
    assert (
        clip.adapter_modules["lora_te1_text_model_encoder_layers_0_mlp_fc1"] == "l.text_model.encoder.layers.0.mlp.fc1"
    )
    patched = clip.with_patches(PatchSet((Shift(f"g.{name}"),)))
    assert patched.first == clip.first
    assert patched.identity != clip.identity
    assert not torch.allclose(patched.encode("a fox").pooled, clip.encode("a fox").pooled)


# ------------------------------------------------------------------ sizes


def test_the_vector_of_xl_is_pooled_text_and_six_numbers(tmp_path: Path) -> None:
    model, clip, _ = small("sdxl", tmp_path)
    stated = dict(height=100, width=200, crop_h=3, crop_w=4, target_height=50, target_width=60)
    given = entry(clip, **stated)
    vector = model.condition(given, LATENT, None).vector
    numbers = sinusoidal_embedding(torch.tensor([100.0, 200, 3, 4, 50, 60]), 256).flatten()
    assert torch.equal(vector, torch.cat([given.pooled, numbers[None]], dim=1))
    silent = model.condition(entry(clip), LATENT, None).vector
    of_picture = entry(clip, height=64, width=96, crop_h=0, crop_w=0, target_height=64, target_width=96)
    assert torch.equal(silent, model.condition(of_picture, LATENT, None).vector)
    half = model.condition(entry(clip, height=10, width=20), LATENT, None).vector
    whole = entry(clip, height=10, width=20, target_height=10, target_width=20)
    assert torch.equal(half, model.condition(whole, LATENT, None).vector)


def test_the_refiner_is_told_another_score_for_what_is_to_be_avoided(tmp_path: Path) -> None:
    model, clip, _ = small("sdxl_refiner", tmp_path)

    def score(given: ConditioningEntry) -> torch.Tensor:
        return model.condition(given, LATENT, None).vector[:, -256:]

    for given, wanted in (
        (entry(clip), 6.0),
        (as_negative([entry(clip)])[0], 2.5),
        (as_negative([entry(clip, aesthetic_score=4.0)])[0], 4.0),
    ):
        assert torch.equal(score(given), sinusoidal_embedding(torch.tensor([wanted]), 256))


def test_a_missing_pooled_vector_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    model, clip, _ = small("sdxl", tmp_path)
    with pytest.raises(NodeError, match="pooled text vector of width 40, got none") as caught:
        model.condition(ConditioningEntry(context=entry(clip).context), LATENT, None)
    assert "CLIP of the same checkpoint" in caught.value.hint


@pytest.mark.parametrize("family", SMALL)
def test_a_network_denoises_with_its_own_text(family: str, tmp_path: Path) -> None:
    model, clip, _ = small(family, tmp_path)
    x = torch.randn(2, 4, 8, 12)
    inputs = model.condition(entry(clip), x, None)
    both = model.denoise(x, torch.tensor([1.0, 5.0]), inputs)
    assert both.shape == x.shape
    assert bool(both.isfinite().all())
    alone = model.denoise(x[1:], torch.tensor([5.0]), inputs)
    assert torch.allclose(both[1:], alone, atol=1e-4)
    assert math.isfinite(model.activation_bytes(1, 8, 12))
