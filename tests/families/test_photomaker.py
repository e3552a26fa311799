"""PhotoMaker: its encoder against transformers and the published formula, and what its nodes make of a text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from engine.core.errors import CheckpointError, NodeError
from engine.families.contract import TextEncoding
from engine.families.text.clip_pair import ClipPair
from engine.families.vision.handle import clip_pixels
from engine.nn.identity_encoder import IdentityEncoder
from engine.nn.unet import UNetConfig
from engine.nn.vision_transformer import VisionConfig
from engine.weights.adapters.keys import read_modules
from engine.weights.checkpoint import open_checkpoint
from nodes.photomaker import encode_person
from tests.tiny_families import random_weights, small_file
from tests.tiny_sd1 import host_with, store_on

XL = UNetConfig(4, 4, 32, (1, 2), 1, (0, 1), 1, 96, head_channels=64, uses_linear=True, vector_width=40 + 6 * 256)
VISION = VisionConfig(64, 3, 1, 96, image_px=28, projection_width=32)
WIDTH = 32 + 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small XL checkpoint, and a file as PhotoMaker's is: the encoder, and a LoRA beside it."""
    folder = tmp_path_factory.mktemp("photomaker")
    small_file("sdxl", folder, XL)
    encoder = {f"id_encoder.{name}": weight for name, weight in random_weights(IdentityEncoder(VISION, 64)).items()}
    lora = {"lora_weights.unet.mid_block.attentions.0.proj_in.lora.down.weight": torch.zeros(4, 64)}
    save_file({**encoder, **lora}, folder / "photomaker.safetensors")
    torch.save(
        {"id_encoder": {k.removeprefix("id_encoder."): w for k, w in encoder.items()}}, folder / "photomaker.bin"
    )
    return folder


class Warnings(list[str]):
    """A context that keeps what it is warned of."""

    def warn(self, message: str) -> None:
        self.append(message)


def published(weights: dict[str, torch.Tensor], image: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Portraits and a word as the published code joins them, around transformers' vision tower."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    tower = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=1, image_size=28,
            patch_size=14,
        )
    ).eval()  # fmt: skip
    plain = {name: weights[name if name in weights else f"vision_model.{name}"] for name in tower.state_dict()}
    tower.load_state_dict(plain)
    seen = tower(clip_pixels(image, 28)).pooler_output

    def mapped(name: str, x: torch.Tensor) -> torch.Tensor:
        parts = {part: weights[f"fuse_module.{name}.{part}"] for part in (
            "layernorm.weight", "layernorm.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")}  # fmt: skip
        x = functional.layer_norm(x, x.shape[-1:], parts["layernorm.weight"], parts["layernorm.bias"])
        x = functional.gelu(functional.linear(x, parts["fc1.weight"], parts["fc1.bias"]))
        return functional.linear(x, parts["fc2.weight"], parts["fc2.bias"])

    views = [
        functional.linear(seen, weights[f"{name}.weight"]) for name in ("visual_projection", "visual_projection_2")
    ]
    joined = mapped("mlp1", torch.cat([tokens, *views], dim=-1)) + tokens
    joined = mapped("mlp2", joined) + joined
    norm = (weights["fuse_module.layer_norm.weight"], weights["fuse_module.layer_norm.bias"])
    return functional.layer_norm(joined, (WIDTH,), *norm)


def repeated(clip: ClipPair, before: str, after: str, times: int) -> tuple[TextEncoding, slice]:
    """A text whose token before a place stands there so often, and where."""
    chunks = {}
    for encoder in clip.encoders:
        encode, form = encoder.tools.tokenizer(600).encode, encoder.form.for_vocabulary(600)
        first = [form.start, *encode(before)]
        ids = [*first, *[first[-1]] * (times - 1), *encode(after), form.end]
        chunks[encoder.key] = [[(token, 1.0) for token in ids + [form.padding] * (77 - len(ids))]]
    return clip.encode_tokens(chunks), slice(len(first) - 1, len(first) - 1 + times)


@torch.no_grad()
def test_the_word_before_the_trigger_means_the_person_of_each_portrait(folder: Path) -> None:
    store = store_on(host_with(), converted=folder / "converted")
    clip = store.open_checkpoint(folder / "sdxl.safetensors")[1]
    weights = {k.removeprefix("id_encoder."): w for k, w in load_file(folder / "photomaker.safetensors").items()}
    image = torch.rand(3, 40, 28, 3)
    # The published code leaves the trigger out, repeats the token before it, and replaces the vectors of those.
    plain, words = repeated(clip, "photo of a man", " in the snow", 3)
    for name in ("photomaker.safetensors", "photomaker.bin"):
        person = store.open_photomaker(folder / name)
        ((context, options),) = encode_person(
            photomaker=person, image=image, clip=clip, text="photo of a man photomaker in the snow", ctx=Warnings()
        )
        assert torch.allclose(context[0, words], published(weights, image, plain.context[0, words]), atol=1e-4)
        rest = [place for place in range(77) if place not in range(words.start, words.stop)]
        assert torch.equal(context[0, rest], plain.context[0, rest])
        assert torch.equal(options["pooled_output"], plain.pooled)


def test_the_lora_in_the_file_is_read_by_itself(folder: Path) -> None:
    with open_checkpoint(folder / "photomaker.safetensors") as file:
        found = read_modules(file)
    assert list(found.modules) == ["unet.mid_block.attentions.0.proj_in"]
    assert found.unknown == ()


def test_a_text_that_names_no_person_says_what_is_missing(folder: Path) -> None:
    store = store_on(host_with())
    clip, person = (
        store.open_checkpoint(folder / "sdxl.safetensors")[1],
        store.open_photomaker(folder / "photomaker.safetensors"),
    )
    told, image = Warnings(), torch.rand(1, 28, 28, 3)
    ((context, _),) = encode_person(photomaker=person, image=image, clip=clip, text="a man", ctx=told)
    assert torch.equal(context, clip.encode("a man").context)
    assert "photomaker" in told[0]
    with pytest.raises(NodeError, match="no word before photomaker") as error:
        encode_person(photomaker=person, image=image, clip=clip, text="photomaker in the snow", ctx=told)
    assert "a woman photomaker" in error.value.hint
    with pytest.raises(NodeError, match="80 portraits do not fit"):
        encode_person(photomaker=person, image=image.expand(80, -1, -1, -1), clip=clip, text="man photomaker", ctx=told)


def test_other_files_and_other_texts_are_refused(folder: Path, tmp_path: Path) -> None:
    store = store_on(host_with())
    with pytest.raises(
        CheckpointError, match=r"sdxl.safetensors is a Stable Diffusion XL checkpoint, not a PhotoMaker"
    ):
        store.open_photomaker(folder / "sdxl.safetensors")
    later = {**load_file(folder / "photomaker.safetensors"), "id_encoder.qformer_perceiver.x": torch.zeros(1)}
    save_file(later, tmp_path / "v2.safetensors")
    with pytest.raises(CheckpointError, match="PhotoMaker of version 2"):
        store.open_photomaker(tmp_path / "v2.safetensors")
    with pytest.raises(NodeError, match="text of width 96, got 8"):
        store.open_photomaker(folder / "photomaker.safetensors").fused(torch.rand(1, 28, 28, 3), torch.zeros(1, 8))
