"""VAE handles: pixels to latents and back, whole, in tiles, and from every form of file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError, NodeError, OutOfMemory
from engine.families.autoencoder.forms import TinyAutoencoder
from engine.families.autoencoder.opening import autoencoder_config, open_autoencoder, shapes_of
from engine.families.autoencoder.tiling import blend_tiles, tile_starts
from engine.memory.device import cpu_device
from engine.memory.network import NetworkHost
from engine.memory.precision import PrecisionPolicy
from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.weights.checkpoint import open_checkpoint
from tests.tiny_sd1 import host_with, store_on, tiny_checkpoint

torch.set_num_threads(1)
LAYOUTS = Path(__file__).resolve().parents[1] / "data" / "layouts"
NOT_THE_NETWORK = ("loss.", "model_ema.")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def vae(path: Path):
    return store_on(host_with()).open_checkpoint(path)[2]


def picture(height: int = 64, width: int = 64, count: int = 1) -> torch.Tensor:
    rows, columns = torch.linspace(0, 1, height), torch.linspace(0, 1, width)
    plane = rows[:, None] * columns[None]
    return torch.stack([plane, plane.flip(0), plane.flip(1)], dim=-1)[None].repeat(count, 1, 1, 1)


# ------------------------------------------------------------------ pixels and latents


def test_shapes_follow_the_downscale(vae) -> None:
    latent = vae.encode(picture(64, 96, 2))
    assert latent.shape == (2, 4, 8, 12)
    image = vae.decode(latent)
    assert image.shape == (2, 64, 96, 3)
    assert image.dtype is torch.float32
    assert 0 <= float(image.min()) <= float(image.max()) <= 1


def test_items_are_encoded_independently(vae) -> None:
    images = torch.cat([picture(), picture().flip(1)])
    assert torch.allclose(vae.encode(images)[1:], vae.encode(images[1:]), atol=1e-5)


def test_edges_that_fill_no_cell_are_cropped_evenly(vae) -> None:
    image = picture(70, 67)
    assert torch.allclose(vae.encode(image), vae.encode(image[:, 3:67, 1:65]), atol=1e-6)


def test_a_fourth_channel_is_ignored(vae) -> None:
    image = picture()
    assert torch.equal(vae.encode(torch.cat([image, image[..., :1]], dim=-1)), vae.encode(image))


@pytest.mark.parametrize("shape", [(1, 7, 64, 3), (64, 64, 3), (1, 64, 64, 1)])
def test_what_is_no_picture_is_refused(vae, shape: tuple[int, ...]) -> None:
    with pytest.raises(NodeError):
        vae.encode(torch.zeros(shape))


def test_a_latent_of_another_family_is_refused(vae) -> None:
    with pytest.raises(NodeError, match="4 channels") as caught:
        vae.decode(torch.zeros(1, 16, 8, 8))
    assert caught.value.code == "latent_mismatch"


# ------------------------------------------------------------------ tiles


def test_tiles_cover_everything() -> None:
    assert tile_starts(10, 16, 4) == [0]
    assert tile_starts(16, 16, 4) == [0]
    assert tile_starts(28, 16, 4) == [0, 12]
    assert tile_starts(30, 16, 4) == [0, 12, 24]
    for length in range(1, 70):
        covered = {cell for start in tile_starts(length, 8, 3) for cell in range(start, min(start + 8, length))}
        assert covered == set(range(length))


@pytest.mark.parametrize("size", [(5, 7), (16, 16), (33, 20)])
@pytest.mark.parametrize("overlap", [0, 2, 5, 100])
def test_blending_tiles_of_a_pointwise_function_gives_the_function(size: tuple[int, int], overlap: int) -> None:
    x = torch.randn(2, 3, *size)

    def enlarged(tile: torch.Tensor) -> torch.Tensor:
        return (tile * 2 + 1).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    found = blend_tiles(enlarged, x, tile=(8, 6), overlap=overlap, scale=(2, 1), out_channels=3)
    assert torch.allclose(found, enlarged(x), atol=1e-5)


def test_blending_tiles_of_a_shrinking_function_gives_the_function() -> None:
    x = torch.randn(1, 3, 32, 48)
    pool = torch.nn.AvgPool2d(8)
    found = blend_tiles(pool, x, tile=(16, 24), overlap=8, scale=(1, 8), out_channels=3)
    assert torch.allclose(found, pool(x), atol=1e-6)


def test_tiles_larger_than_the_picture_are_the_whole(vae) -> None:
    latent = vae.encode(picture())
    assert torch.allclose(vae.decode_tiled(latent, tile=64, overlap=8), vae.decode(latent), atol=1e-5)
    assert torch.allclose(vae.encode_tiled(picture(), tile=512, overlap=64), latent, atol=1e-5)


def test_tiles_give_nearly_the_whole(vae) -> None:
    latent = vae.encode(picture(96, 96))
    whole, tiled = vae.decode(latent), vae.decode_tiled(latent, tile=8, overlap=2)
    assert tiled.shape == whole.shape
    # The untrained decoder's norms see each tile's own statistics, so tiles differ; they must not be elsewhere.
    assert float((whole - tiled).abs().mean()) < float(whole.std())


def test_a_picture_beyond_the_budget_is_decoded_and_encoded_in_tiles(path: Path) -> None:
    rich = store_on(host_with()).open_checkpoint(path)[2]
    latent = rich.encode(picture(256, 256))
    poor = store_on(host_with(40 << 20)).open_checkpoint(path)[2]
    assert poor.form.activation_bytes(256 * 256, 4) > 40 << 20
    assert poor.decode(latent).shape == (1, 256, 256, 3)
    assert poor.encode(picture(256, 256)).shape == latent.shape


def test_a_budget_below_the_smallest_tile_is_a_typed_error(path: Path) -> None:
    with pytest.raises(OutOfMemory):
        store_on(host_with(1 << 20)).open_checkpoint(path)[2].decode(torch.zeros(1, 4, 32, 32))


# ------------------------------------------------------------------ precision


@pytest.fixture(scope="module")
def overflowing(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder whose values exceed what float16 holds, and nothing wider: norms bring them back."""
    weights = kl_weights(path)
    for key in ("encoder.conv_in.weight", "decoder.conv_in.weight"):
        weights[key] = weights[key] / weights[key].abs().max() * 60000
    found = tmp_path_factory.mktemp("large") / "large.safetensors"
    save_file(weights, found)
    return found


def test_a_picture_that_overflows_in_half_precision_is_computed_in_a_wider_one_from_then_on(overflowing: Path) -> None:
    wide = open_autoencoder(open_checkpoint(overflowing), host_with(), lambda: "digest")
    host = NetworkHost(cpu_device(), 1 << 30, PrecisionPolicy(vae=torch.float16))
    narrow = open_autoencoder(open_checkpoint(overflowing), host, lambda: "digest")
    assert host.compute_dtype(narrow.source) is torch.float16
    latent = wide.encode(picture())
    assert torch.equal(narrow.encode(picture()), latent)
    assert torch.equal(narrow.decode(latent), wide.decode(latent))
    assert float(wide.decode(latent).std()) > 0.01
    assert host.compute_dtype(narrow.source) is torch.float32
    widened = [(change.what, change.why) for change in host.ledger.since(0) if change.kind == "widened"]
    assert widened == [("vae of large.safetensors", "float16 to float32")]


def test_half_precision_stays_where_nothing_overflows(path: Path, vae) -> None:
    host = NetworkHost(cpu_device(), 1 << 30, PrecisionPolicy(vae=torch.float16))
    narrow = open_autoencoder(open_checkpoint(path), host, lambda: "digest")
    latent = vae.encode(picture())
    assert float((narrow.decode(latent) - vae.decode(latent)).abs().max()) < 0.05
    assert host.compute_dtype(narrow.source) is torch.float16


def test_what_no_precision_helps_is_an_error_and_never_a_picture(path: Path, tmp_path: Path, vae) -> None:
    with pytest.raises(NodeError, match="values that are no numbers to decode"):
        vae.decode(torch.full((1, 4, 8, 8), torch.nan))
    weights = kl_weights(path)
    weights["decoder.conv_in.weight"][0] = torch.inf
    save_file(weights, tmp_path / "damaged.safetensors")
    with pytest.raises(NodeError, match=r"vae of damaged.safetensors .* in single precision too"):
        opened(tmp_path / "damaged.safetensors").decode(torch.zeros(1, 4, 8, 8))


# ------------------------------------------------------------------ files


def kl_weights(path: Path) -> dict[str, torch.Tensor]:
    prefix = "first_stage_model."
    return {key.removeprefix(prefix): value for key, value in load_file(path).items() if key.startswith(prefix)}


def opened(path: Path):
    return open_autoencoder(open_checkpoint(path), host_with(), lambda: "digest")


@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae."])
def test_a_file_of_its_own_gives_the_same_latents(path: Path, tmp_path: Path, vae, prefix: str) -> None:
    weights = {prefix + key: value for key, value in kl_weights(path).items()}
    save_file({**weights, f"{prefix}loss.logvar": torch.zeros(1)}, tmp_path / "vae.safetensors")
    assert torch.equal(opened(tmp_path / "vae.safetensors").encode(picture()), vae.encode(picture()))


def test_the_vae_of_a_whole_checkpoint_can_be_loaded(path: Path, vae) -> None:
    assert torch.equal(opened(path).encode(picture()), vae.encode(picture()))


@pytest.mark.parametrize("has_old_names", [False, True])
def test_diffusers_names_are_understood(path: Path, tmp_path: Path, vae, has_old_names: bool) -> None:
    save_file(_to_diffusers(kl_weights(path), has_old_names), tmp_path / "vae.safetensors")
    found = opened(tmp_path / "vae.safetensors")
    latent = vae.encode(picture())
    assert torch.equal(found.encode(picture()), latent)
    assert torch.equal(found.decode(latent), vae.decode(latent))


def _to_diffusers(weights: dict[str, torch.Tensor], has_old_names: bool) -> dict[str, torch.Tensor]:
    names = ("query", "key", "value", "proj_attn") if has_old_names else ("to_q", "to_k", "to_v", "to_out.0")
    attention = dict(zip(("q", "k", "v", "proj_out"), names, strict=True))
    found = {}
    for key, tensor in weights.items():
        parts = key.split(".")
        if len(parts) > 2 and parts[1] == "mid":
            if parts[2] == "attn_1":
                inner = attention.get(parts[3], "group_norm")
                tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
                name = f"{parts[0]}.mid_block.attentions.0.{inner}.{parts[4]}"
            else:
                name = f"{parts[0]}.mid_block.resnets.{int(parts[2][-1]) - 1}.{'.'.join(parts[3:])}"
        elif len(parts) > 2 and parts[1] in ("down", "up"):
            level = int(parts[2]) if parts[1] == "down" else 3 - int(parts[2])
            kind = f"resnets.{parts[4]}." if parts[3] == "block" else f"{parts[3]}rs.0."
            rest = parts[5:] if parts[3] == "block" else parts[4:]
            name = f"{parts[0]}.{parts[1]}_blocks.{level}.{kind}{'.'.join(rest)}".replace("nin_", "conv_")
        else:
            name = key.replace("norm_out", "conv_norm_out")
        found[name] = tensor.contiguous()
    return found


def tiny_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5
        for name, weight in TinyAutoencoder(4).state_dict().items()
    }


def half(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def tiny_pair(folder: Path, name: str) -> tuple[Path, Path]:
    weights = tiny_weights()
    paths = folder / f"{name}_encoder.safetensors", folder / f"{name}_decoder.safetensors"
    for path, prefix in zip(paths, ("encoder.", "decoder."), strict=True):
        save_file(half(weights, prefix), path)
    return paths


def test_a_tiny_autoencoder_is_made_of_two_files(tmp_path: Path) -> None:
    tiny = store_on(host_with()).open_taesd(*tiny_pair(tmp_path, "taesd"))
    network = TinyAutoencoder(4)
    network.load_state_dict(tiny_weights())
    with torch.no_grad():
        latent = network.encoder(picture().movedim(3, 1))
        image = network.decoder(latent).clamp(0, 1).movedim(1, 3)
    assert torch.allclose(tiny.encode(picture()), latent / 0.18215, atol=1e-5)
    assert torch.allclose(tiny.decode(latent / 0.18215), image, atol=1e-5)


def test_the_scale_of_a_tiny_autoencoder_is_told_by_its_file_name(tmp_path: Path) -> None:
    store = store_on(host_with())
    plain = store.open_taesd(*tiny_pair(tmp_path, "taesd")).encode(picture())
    large = store.open_taesd(*tiny_pair(tmp_path, "taesdxl")).encode(picture())
    assert torch.allclose(large * 0.13025, plain * 0.18215, atol=1e-5)


def test_a_tiny_autoencoder_in_one_file_gives_the_same(tmp_path: Path) -> None:
    pair = store_on(host_with()).open_taesd(*tiny_pair(tmp_path, "taesd"))
    weights = tiny_weights()
    joined = {f"encoder.layers.{key}": value for key, value in half(weights, "encoder.").items()}
    for key, value in half(weights, "decoder.").items():
        number, rest = key.split(".", 1)
        joined[f"decoder.layers.{int(number) - 1}.{rest}"] = value
    save_file(joined, tmp_path / "taesd.safetensors")
    assert torch.equal(opened(tmp_path / "taesd.safetensors").encode(picture()), pair.encode(picture()))


def test_swapped_halves_and_other_files_are_refused(path: Path, tmp_path: Path) -> None:
    encoder, decoder = tiny_pair(tmp_path, "taesd")
    with pytest.raises(CheckpointError, match="not a tiny autoencoder"):
        store_on(host_with()).open_taesd(decoder, encoder)
    with pytest.raises(CheckpointError, match="no autoencoder"):
        opened(encoder)


def test_an_unknown_key_in_a_vae_file_is_refused(path: Path, tmp_path: Path) -> None:
    save_file({**kl_weights(path), "surprise": torch.zeros(1)}, tmp_path / "vae.safetensors")
    with pytest.raises(CheckpointError, match="surprise"):
        opened(tmp_path / "vae.safetensors")


# ------------------------------------------------------------------ published forms

PUBLISHED = [
    "ldm-kl-f4", "ldm-kl-f8", "ldm-kl-f16", "ldm-kl-f32", "ldm-vq-f4", "ldm-vq-f4-noattn", "ldm-vq-f8",
    "ldm-vq-f8-n256", "ldm-vq-f16", "taming-vqgan-f16-1024", "taming-vqgan-f16-16384", "vae-ft-mse", "sd3-vae",
]  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_sizes_read_from_a_published_file_build_a_network_of_exactly_its_keys(name: str) -> None:
    layout = json.loads(gzip.decompress((LAYOUTS / f"{name}.json.gz").read_bytes()))
    shapes = {key: tuple(entry[1]) for key, entry in layout["tensors"].items() if not key.startswith(NOT_THE_NETWORK)}
    config = autoencoder_config(shapes, "")
    assert config is not None
    with torch.device("meta"):
        assert shapes_of(Autoencoder(config)) == shapes


def test_a_vq_file_decodes_what_its_codebook_makes_of_a_latent(tmp_path: Path) -> None:
    config = AutoencoderConfig(32, (1, 1), 1, 3, codebook_size=7, attention_levels=(1,), has_middle_attention=False)
    generator = torch.Generator().manual_seed(3)
    with torch.device("meta"):
        shapes = shapes_of(Autoencoder(config))
    save_file(
        {key: torch.randn(shape, generator=generator) * 0.1 for key, shape in shapes.items()},
        tmp_path / "vq.safetensors",
    )
    vae = open_autoencoder(open_checkpoint(tmp_path / "vq.safetensors"), host_with(), str)
    table = load_file(tmp_path / "vq.safetensors")["quantize.embedding.weight"]
    numbers = torch.randint(7, (1, 4, 4), generator=generator)
    exact = table[numbers].movedim(-1, 1)
    assert vae.encode(picture(8, 8)).shape == (1, 3, 4, 4)
    nudged = exact + 1e-4 * torch.randn(exact.shape, generator=generator)
    assert torch.allclose(vae.decode(nudged), vae.decode(exact), atol=1e-6)
