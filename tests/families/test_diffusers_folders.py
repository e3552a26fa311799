"""Models as folders of diffusers: written so that diffusers opens them and computes the same, and read back."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.command.models import main
from engine.core.digest import digest_value
from engine.core.errors import CheckpointError, NodeError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import VPrediction
from engine.diffusion.sigma_table import zero_terminal
from engine.families.diffusers_folder import read_diffusers_folder
from engine.families.loose_parts import put_together
from engine.families.model_store import ModelStore
from engine.families.text.clip_form import CLIP_H
from engine.families.unet.latents import thousand_steps
from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.nn.unet import UNet, UNetConfig
from engine.weights.checkpoint import open_checkpoint
from nodes.loaders import load_checkpoint_with_config, load_diffusers_folder
from tests.families.test_unet_families import SMALL
from tests.tiny_families import random_weights, small_file
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)


def checkpoint(family: str, folder: Path) -> Path:
    return shallow_checkpoint(folder) if family == "sd1" else small_file(family, folder, SMALL[family])


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_diffusers_opens_the_folder_and_computes_the_same(family: str, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    model, clip, vae = store_on(host_with()).open_checkpoint(checkpoint(family, tmp_path))
    store_on(host_with()).diffusers_export(model, clip, vae).write(tmp_path / "folder")
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "folder" / "unet")
    x, step = torch.randn(1, 4, 8, 8), torch.tensor([500])
    sigma = model.parameterization.sigma_table.sigmas[500]
    context = torch.randn(1, 5, model.context_width)
    vector_width = model.form.config.vector_width
    vector = None if vector_width is None else torch.randn(1, vector_width)
    with torch.no_grad():
        if vector is None:
            noise = unet(x / (sigma**2 + 1) ** 0.5, step, context).sample
        else:
            unet.get_aug_embed = lambda **_: unet.add_embedding(vector)
            noise = unet(x / (sigma**2 + 1) ** 0.5, step, context, added_cond_kwargs={}).sample
    found = model.denoise(x, sigma[None], ConditionInputs(context=context, vector=vector))
    assert torch.allclose(found, x - sigma * noise, atol=1e-3)
    with torch.no_grad():
        decoded = AutoencoderKL.from_pretrained(tmp_path / "folder" / "vae").decode(x).sample
    assert torch.allclose(vae.decode(x), (decoded / 2 + 0.5).clamp(0, 1).movedim(1, 3), atol=1e-4)
    places = {"text_encoder": clip} if family == "sd1" else {"text_encoder": clip.first, "text_encoder_2": clip.second}
    for place, encoder in places.items():
        kind = CLIPTextModelWithProjection if place.endswith("_2") else CLIPTextModel
        theirs = kind.from_pretrained(tmp_path / "folder" / place).eval()
        tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "folder" / place.replace("text_encoder", "tokenizer"))
        ids = tokenizer("a red fox", padding="max_length", max_length=77, return_tensors="pt").input_ids
        ours = encoder.tokenize("a red fox")[encoder.key][0]
        assert ids[0].tolist() == [token for token, _ in ours]
        with torch.no_grad():
            states = theirs(ids, output_hidden_states=True)
        wanted = states.last_hidden_state if family == "sd1" else states.hidden_states[-2]
        assert torch.allclose(encoder.encode("a red fox").context, wanted, atol=1e-4)


def wide_checkpoint(folder: Path) -> Path:
    """One whose U-Net and text encoder are known by their widths, so that they can be in files of their own."""
    torch.manual_seed(0)
    parts = {
        "model.diffusion_model.": UNet(UNetConfig(4, 4, 32, (1, 2), 1, (1, 1), 1, 768)),
        "cond_stage_model.transformer.": TextTransformer(TextConfig(768, 1, 12, 16, vocabulary=600)),
        "first_stage_model.": Autoencoder(AutoencoderConfig(32, (1, 2), 1, 4)),
    }
    tensors = {prefix + name: w for prefix, part in parts.items() for name, w in random_weights(part).items()}
    save_file(tensors, folder / "first.safetensors")
    return folder / "first.safetensors"


def test_a_file_turned_into_a_folder_and_back_is_the_same_file(tmp_path: Path) -> None:
    first = wide_checkpoint(tmp_path)
    folder, second = tmp_path / "folder", tmp_path / "second.safetensors"
    assert main(tmp_path, ["convert", str(first), str(folder)]) == 0
    assert main(tmp_path, ["convert", str(folder), str(second)]) == 0
    found, tensors = load_file(second), load_file(first)
    assert set(found) == set(tensors)
    assert all(torch.equal(found[key], weight) for key, weight in tensors.items())


def cut_in_pieces(whole: Path) -> list[Path]:
    """Put a part's weights into two files and an index, as large ones are saved."""
    weights = load_file(whole)
    names = {key: f"{whole.stem}-0000{1 + number % 2}-of-00002.safetensors" for number, key in enumerate(weights)}
    pieces = sorted(set(names.values()))
    for name in pieces:
        save_file({key: weights[key] for key, place in names.items() if place == name}, whole.parent / name)
    whole.unlink()
    whole.with_name(f"{whole.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return [whole.parent / name for name in pieces]


def test_a_network_in_several_pieces_is_put_together_and_a_missing_piece_is_named(tmp_path: Path) -> None:
    first, folder = wide_checkpoint(tmp_path), tmp_path / "folder"
    assert main(tmp_path, ["convert", str(first), str(folder)]) == 0
    piece = cut_in_pieces(folder / "unet" / "diffusion_pytorch_model.safetensors")[0]
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    second = tmp_path / "second.safetensors"
    assert main(tmp_path, ["convert", str(folder), str(second)]) == 0
    found, tensors = load_file(second), load_file(first)
    assert set(found) == set(tensors)
    assert all(torch.equal(found[key], weight) for key, weight in tensors.items())
    one = store_on(host_with()).open_diffusers_folder(folder)[0]
    other = store_on(host_with()).open_checkpoint(first)[0]
    inputs = ConditionInputs(context=torch.randn(1, 5, 768))
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
    # Weights that lie elsewhere in memory may be multiplied in another order.
    assert torch.allclose(one.denoise(x, sigma, inputs), other.denoise(x, sigma, inputs), atol=1e-5)
    before = one.content_digest
    save_file({key: weight * 2 for key, weight in load_file(piece).items()}, piece)
    assert store_on(host_with()).open_diffusers_folder(folder)[0].content_digest != before
    piece.unlink()
    with pytest.raises(CheckpointError, match=r"unet lacks 1 of its 2 pieces: diffusion_pytorch_model-0000") as error:
        store_on(host_with()).open_diffusers_folder(folder)
    assert "Download the missing" in error.value.hint
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": "../elsewhere.safetensors"}}))
    with pytest.raises(CheckpointError, match="does not name the files that lie beside it"):
        store_on(host_with()).open_diffusers_folder(folder)


def test_text_encoders_and_autoencoders_in_several_pieces_are_put_together(tmp_path: Path) -> None:
    store, folder = store_on(host_with()), tmp_path / "folder"
    model, clip, vae = store.open_checkpoint(wide_checkpoint(tmp_path))
    store.diffusers_export(model, clip, vae).write(folder)
    texts, autoencoders = (
        cut_in_pieces(folder / name)
        for name in ("text_encoder/model.safetensors", "vae/diffusion_pytorch_model.safetensors")
    )
    _, text, autoencoder = store_on(host_with()).open_diffusers_folder(folder)
    assert torch.allclose(text.encode("a fox").context, clip.encode("a fox").context, atol=1e-5)
    latent = torch.randn(1, 4, 8, 8)
    assert torch.allclose(autoencoder.decode(latent), vae.decode(latent), atol=1e-5)
    assert main(tmp_path, ["convert", str(folder), str(tmp_path / "again.safetensors")]) == 0
    assert load_file(tmp_path / "again.safetensors").keys() == load_file(tmp_path / "first.safetensors").keys()

    before = text.content_digest, autoencoder.content_digest
    for second in (texts[1], autoencoders[1]):
        save_file({key: weight * 2 for key, weight in load_file(second).items()}, second)
    _, text, autoencoder = store_on(host_with()).open_diffusers_folder(folder)
    assert text.content_digest != before[0]
    assert autoencoder.content_digest != before[1]
    texts[0].unlink()
    with pytest.raises(CheckpointError, match=r"text_encoder lacks 1 of its 2 pieces: model-00001-of-00002"):
        store_on(host_with()).open_diffusers_folder(folder)


def test_each_of_two_text_encoders_is_put_together_of_its_own_pieces(tmp_path: Path) -> None:
    for number in range(5):
        save_file({f"key {number % 3}": torch.full((2,), float(number))}, tmp_path / f"{number}.safetensors")
    files = [open_checkpoint(tmp_path / f"{number}.safetensors") for number in range(5)]
    services = replace(store_on(host_with())._services, digest=lambda path: path.stem)
    (first, second), known = put_together(files, [3, 2], services)
    assert [float(first.tensor(key)[0]) for key in sorted(first.shapes)] == [0.0, 1.0, 2.0]
    assert [float(second.tensor(key)[0]) for key in sorted(second.shapes)] == [3.0, 4.0]
    assert known.digest(first.path) == digest_value(["0", "1", "2"])
    assert known.digest(files[4].path) == "4"
    with pytest.raises(CheckpointError, match="both hold key 0"):
        put_together(files, [5], services)


def test_layers_that_are_never_reached_are_left_out_and_read_back_as_such(tmp_path: Path) -> None:
    store = store_on(host_with())
    model, clip, vae = store.open_checkpoint(checkpoint("sd2", tmp_path))
    export = store.diffusers_export(model, clip, vae)
    config = json.loads(export.texts["text_encoder/config.json"])
    names = export.weights["text_encoder/model.safetensors"].tensors
    assert (clip.config.num_layers, config["num_hidden_layers"]) == (3, 2)
    assert not any("layers.2." in name or name.startswith("text_projection") for name in names)
    assert json.loads(export.texts["model_index.json"])["_class_name"] == "StableDiffusionPipeline"
    assert (CLIP_H.default_layer_of(24), CLIP_H.default_layer_of(23)) == (-2, -1)


@dataclass
class NamedFiles:
    """A context that finds files by name in a folder."""

    models: ModelStore
    folder: Path

    def model_path(self, kind: str, name: str) -> Path:
        return self.folder / name


def test_a_folder_is_loaded_by_its_node(tmp_path: Path) -> None:
    context = NamedFiles(store_on(host_with()), tmp_path)
    model, clip, vae = context.models.open_checkpoint(wide_checkpoint(tmp_path))
    context.models.diffusers_export(model, clip, vae).write(tmp_path / "folder")
    loaded, text, autoencoder = load_diffusers_folder("folder", context)
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
    inputs = ConditionInputs(context=text.encode("a fox").context)
    assert torch.allclose(inputs.context, clip.encode("a fox").context, atol=1e-5)
    assert torch.allclose(loaded.denoise(x, sigma, inputs), model.denoise(x, sigma, inputs), atol=1e-5)
    assert torch.allclose(autoencoder.decode(x), vae.decode(x), atol=1e-5)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("model:\n  params:\n    parameterization: v\n", "VPrediction"),
        ("model:\n  params:\n    timesteps: 1000\n", "EpsPrediction"),
        ("- 1\n", "EpsPrediction"),
        ("", "EpsPrediction"),
    ],
)
def test_a_configuration_tells_what_a_checkpoint_predicts(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    shallow_checkpoint(tmp_path)
    context = NamedFiles(store_on(host_with()), tmp_path)
    model = load_checkpoint_with_config("config.yaml", "shallow.safetensors", context)[0]
    assert type(model.parameterization.prediction).__name__ == name


def test_a_configuration_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: [1")
    shallow_checkpoint(tmp_path)
    with pytest.raises(NodeError, match="not a YAML file"):
        load_checkpoint_with_config("config.yaml", "shallow.safetensors", NamedFiles(store_on(host_with()), tmp_path))


def test_the_scheduler_tells_what_the_network_predicts(tmp_path: Path) -> None:
    store = store_on(host_with())
    model, clip, vae = store.open_checkpoint(shallow_checkpoint(tmp_path))
    wanted = Parameterization(VPrediction(), zero_terminal(thousand_steps()))
    store.diffusers_export(model.with_parameterization(wanted), clip, vae).write(tmp_path / "folder")
    folder = read_diffusers_folder(tmp_path / "folder")
    assert folder.parameterization(model.parameterization).identity == wanted.identity
    assert [path.parent.name for part in (folder.network, *folder.texts, folder.vae) for path in part] == [
        "unet",
        "text_encoder",
        "vae",
    ]
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        read_diffusers_folder(tmp_path)
