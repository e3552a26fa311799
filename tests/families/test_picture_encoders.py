"""CLIP's image encoders in every key form, unCLIP models and style adapters, and their nodes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.core.errors import CheckpointError, NodeError
from engine.diffusion.conditioning import ConditioningEntry
from engine.families.sd2_unclip.vector import ImageVector
from engine.families.vision.handle import PictureEncoding, clip_pixels
from engine.nn.unet import UNetConfig
from engine.nn.vision_transformer import VisionConfig, VisionTransformer
from nodes import clip_vision as pictures
from tests.tiny_families import layout_file, random_weights, small_file
from tests.tiny_sd1 import host_with, store_on

torch.set_num_threads(1)

CONFIG = VisionConfig(64, 3, 1, 96, image_px=28, patch_px=14, projection_width=24)
UNCLIP = UNetConfig(
    4, 4, 32, (1, 2), 1, (1, 0), 1, 32, head_channels=64, uses_linear=True, vector_width=2 * CONFIG.projection_width
)


class Listener:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def open_clip_vision(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights by OpenCLIP's names."""
    found = {
        "visual.class_embedding": weights["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": weights["vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": weights["vision_model.embeddings.position_embedding.weight"],
        "visual.proj": weights["visual_projection.weight"].t().contiguous(),
    }
    for end in ("weight", "bias"):
        found[f"visual.ln_pre.{end}"] = weights[f"vision_model.pre_layrnorm.{end}"]
        found[f"visual.ln_post.{end}"] = weights[f"vision_model.post_layernorm.{end}"]
        for number in range(CONFIG.num_layers):
            ours, theirs = f"visual.transformer.resblocks.{number}", f"vision_model.encoder.layers.{number}"
            parts = [weights[f"{theirs}.self_attn.{letter}_proj.{end}"] for letter in "qkv"]
            found[f"{ours}.attn.in_proj_{end}"] = torch.cat(parts)
            for old, new in (
                ("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
            ):  # fmt: skip
                found[f"{ours}.{old}.{end}"] = weights[f"{theirs}.{new}.{end}"]
    return found


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("clip-vision-vit-l", (1024, 24, 16, 768, "quick_gelu")),
        ("clip-vision-vit-h", (1280, 32, 16, 1024, "gelu")),
        ("clip-vision-bigg", (1664, 48, 16, 1280, "gelu")),
    ],
)
def test_published_image_encoders_open_with_every_key_explained(name: str, sizes, tmp_path: Path) -> None:
    config = store_on(host_with()).open_clip_vision(layout_file(name, tmp_path)).config
    assert (config.width, config.num_layers, config.num_heads, config.projection_width, config.activation) == sizes
    assert (config.image_px, config.patch_px) == (224, 14)


def test_both_key_forms_give_the_numbers_of_transformers(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    theirs = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=64, intermediate_size=96, projection_dim=24, num_hidden_layers=3, num_attention_heads=1,
            image_size=28, patch_size=14,
        )
    ).eval()  # fmt: skip
    weights = {name: w.clone() for name, w in theirs.state_dict().items() if not name.endswith("position_ids")}
    store = store_on(host_with())
    save_file(weights, tmp_path / "plain.safetensors")
    save_file({**open_clip_vision(weights), "logit_scale": torch.tensor(4.6)}, tmp_path / "open.safetensors")
    image = torch.rand(2, 40, 28, 3)
    with torch.no_grad():
        wanted = theirs(clip_pixels(image, 28), output_hidden_states=True)
    for name in ("plain", "open"):
        encoder = store.open_clip_vision(tmp_path / f"{name}.safetensors")
        found = pictures.encode_picture(encoder, image, "center")
        assert torch.allclose(found["image_embeds"], wanted.image_embeds, atol=1e-5)
        assert torch.allclose(found.last_hidden_state, wanted.last_hidden_state, atol=1e-5)
        assert torch.allclose(found.penultimate_hidden_states, wanted.hidden_states[-2], atol=1e-5)


def test_pictures_are_cut_or_squeezed_to_the_square() -> None:
    image = torch.zeros(1, 8, 24, 3)
    image[:, :, 8:16] = 1.0
    middle, whole = clip_pixels(image, 8), clip_pixels(image, 8, crops=False)
    assert torch.equal(middle, clip_pixels(torch.ones(1, 8, 8, 3), 8))
    assert whole.shape == (1, 3, 8, 8)
    assert float(whole[0, 0, 0, 0]) == pytest.approx(-0.48145466 / 0.26862954)


def test_a_file_without_an_image_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a U-Net in diffusers form, not an image encoder"):
        store_on(host_with()).open_clip_vision(layout_file("unet-sd15-diffusers", tmp_path))


# ------------------------------------------------------------------ unCLIP


@pytest.mark.parametrize(("name", "width"), [("sd21-unclip-h", 1024), ("sd21-unclip-l", 768)])
def test_published_unclip_files_open_with_every_key_explained(name: str, width: int, tmp_path: Path) -> None:
    model, clip, vae, vision = store_on(host_with()).open_unclip_checkpoint(layout_file(name, tmp_path))
    assert (model.family, clip.family, vae.num_latent_channels) == ("sd2_unclip", "sd2_unclip", 4)
    assert (vision.config.projection_width, model.form.config.vector_width) == (width, 2 * width)
    assert type(model.parameterization.prediction).__name__ == "VPrediction"


def test_an_unclip_model_is_told_the_picture(tmp_path: Path) -> None:
    path = small_file("sd2", tmp_path, UNCLIP)
    from safetensors.torch import load_file

    vision_weights = open_clip_vision(random_weights(VisionTransformer(CONFIG)))
    extra = {f"embedder.model.{name}": weight for name, weight in vision_weights.items()}
    augmentor = {"noise_augmentor.betas": torch.zeros(1000), "embedder.model.logit_scale": torch.tensor(1.0)}
    save_file({**load_file(path), **extra, **augmentor}, tmp_path / "unclip.safetensors")
    model, clip, _, vision = pictures.load_unclip_checkpoint(
        "x", replace_context(store_on(host_with()), tmp_path / "unclip.safetensors")
    )
    seen = vision.encode(torch.rand(1, 28, 28, 3))
    pairs = [[clip.encode("a fox").context, {}]]
    told = pictures.show_picture(pairs, seen, strength=0.5, noise_augmentation=0.2)
    assert pictures.show_picture(pairs, seen, strength=0.0) is pairs
    latent = torch.zeros(1, 4, 8, 8)
    plain = model.condition(ConditioningEntry(pairs[0][0]), latent, None)
    shown = model.condition(ConditioningEntry(told[0][0], extras=told[0][1]), latent, None)
    assert torch.equal(plain.vector, torch.zeros(1, 48))
    assert shown.vector.shape == (1, 48)
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
    assert not torch.allclose(model.denoise(x, sigma, plain), model.denoise(x, sigma, shown), atol=1e-3)


def replace_context(store, path: Path):
    class Context:
        models = store

        def model_path(self, folder: str, name: str) -> Path:
            return path

    return Context()


def encoding(*rows: torch.Tensor) -> PictureEncoding:
    return PictureEncoding(torch.zeros(1), torch.zeros(1), torch.stack(rows))


def entry_of(*pictures_told: dict) -> ConditioningEntry:
    return ConditioningEntry(torch.zeros(1, 1, 1), extras={"unclip_conditioning": list(pictures_told)})


def test_the_embedding_gets_the_noise_of_the_cosine_schedule() -> None:
    from diffusers import DDPMScheduler

    embedding, form = torch.randn(16), ImageVector(32)
    shares = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    noise = torch.randn(16, generator=torch.Generator().manual_seed(-10))
    latent = torch.zeros(1, 4, 8, 8)
    for amount, level in ((0.0, 0), (0.3, 300), (1.0, 999)):
        told = {"clip_vision_output": encoding(embedding), "strength": 2.0, "noise_augmentation": amount}
        found = form.vector(entry_of(told), latent)
        noisy = shares[level].sqrt() * embedding + (1 - shares[level]).sqrt() * noise
        assert torch.allclose(found[0, :16], 2 * noisy, atol=1e-4), level
        assert float(found[0, 16]) == pytest.approx(2 * math.cos(level), abs=1e-3)
    told = {"clip_vision_output": encoding(embedding), "strength": 1.0, "noise_augmentation": 0.3}
    other = form.vector(replace(entry_of(told), seed=42), latent)
    drawn = torch.randn(16, generator=torch.Generator().manual_seed(32))
    assert torch.allclose(other[0, :16], shares[300].sqrt() * embedding + (1 - shares[300]).sqrt() * drawn, atol=1e-4)
    moved = replace(form, means=(3.0,) * 16, deviations=(2.0,) * 16)
    normal = (embedding - 3) / 2
    wanted = (shares[300].sqrt() * normal + (1 - shares[300]).sqrt() * noise) * 2 + 3
    assert torch.allclose(moved.vector(entry_of(told), latent)[0, :16], wanted, atol=1e-4)
    with pytest.raises(NodeError, match="width 16"):
        form.vector(entry_of({**told, "clip_vision_output": encoding(torch.zeros(8))}), latent)


def test_several_pictures_add_up() -> None:
    one, two, form = torch.randn(16), torch.randn(16), ImageVector(32)
    latent = torch.zeros(1, 4, 8, 8)
    told = [
        {"clip_vision_output": encoding(row), "strength": s, "noise_augmentation": 0.0}
        for row, s in ((one, 0.5), (two, 1.0))
    ]
    alone = [form.vector(entry_of(picture), latent)[0, :16] for picture in told]
    both = form.vector(entry_of(*told), latent)
    merged = form._with_noise(alone[0] + alone[1], 0.05, -10)
    assert torch.allclose(both, merged)


# ------------------------------------------------------------------ style


class ReferenceStyle(nn.Module):
    """The adapter as its paper's code says, from torch's own layers."""

    def __init__(self, weights: dict[str, torch.Tensor], num_heads: int) -> None:
        super().__init__()
        self.weights, self.num_heads = weights, num_heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.weights
        width = x.shape[-1]
        x = torch.cat([x, w["style_embedding"].expand(len(x), -1, -1)], dim=1)
        x = nn.functional.layer_norm(x, (width,), w["ln_pre.weight"], w["ln_pre.bias"])
        number = 0
        while (start := f"transformer_layes.{number}.") + "ln_1.weight" in w:
            attention = nn.MultiheadAttention(width, self.num_heads, batch_first=True)
            names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
            attention.load_state_dict({name: w[f"{start}attn.{name}"] for name in names})
            y = nn.functional.layer_norm(x, (width,), w[start + "ln_1.weight"], w[start + "ln_1.bias"])
            x = x + attention(y, y, y, need_weights=False)[0]
            y = nn.functional.layer_norm(x, (width,), w[start + "ln_2.weight"], w[start + "ln_2.bias"])
            y = nn.functional.linear(y, w[start + "mlp.c_fc.weight"], w[start + "mlp.c_fc.bias"])
            y = y * torch.sigmoid(1.702 * y)
            x = x + nn.functional.linear(y, w[start + "mlp.c_proj.weight"], w[start + "mlp.c_proj.bias"])
            number += 1
        x = nn.functional.layer_norm(
            x[:, -w["style_embedding"].shape[1] :], (width,), w["ln_post.weight"], w["ln_post.bias"]
        )
        return x @ w["proj"]


def style_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    width = 32
    shapes = {"style_embedding": (1, 4, width), "proj": (width, 12)}
    for norm in ("ln_pre", "ln_post"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for number in range(2):
        start = f"transformer_layes.{number}."
        shapes |= {
            f"{start}attn.in_proj_weight": (3 * width, width), f"{start}attn.in_proj_bias": (3 * width,),
            f"{start}attn.out_proj.weight": (width, width), f"{start}attn.out_proj.bias": (width,),
            f"{start}ln_1.weight": (width,), f"{start}ln_1.bias": (width,),
            f"{start}ln_2.weight": (width,), f"{start}ln_2.bias": (width,),
            f"{start}mlp.c_fc.weight": (64, width), f"{start}mlp.c_fc.bias": (64,),
            f"{start}mlp.c_proj.weight": (width, 64), f"{start}mlp.c_proj.bias": (width,),
        }  # fmt: skip
    return {key: torch.randn(shape, generator=generator) * 0.3 for key, shape in shapes.items()}


def test_a_style_adapter_computes_what_its_reference_does_and_stands_behind_the_text(tmp_path: Path) -> None:
    weights = style_weights()
    save_file(weights, tmp_path / "style.safetensors")
    style = store_on(host_with()).open_style_model(tmp_path / "style.safetensors")
    seen = torch.randn(2, 5, 32)
    picture = PictureEncoding(seen, seen, torch.zeros(2, 8))
    with torch.no_grad():
        wanted = ReferenceStyle(weights, 8)(seen).flatten(0, 1)[None]
    assert torch.allclose(style.tokens(picture), wanted, atol=1e-4)
    text, listener = torch.randn(1, 7, 12), Listener()
    apply = pictures.apply_style_model
    options = {"conditioning": [[text, {"area": 1}]], "style_model": style, "clip_vision_output": picture}
    [[tokens, kept]] = apply(**options, strength=0.5, strength_type="multiply", ctx=listener)
    assert torch.allclose(tokens, torch.cat([text, 0.5 * wanted], dim=1), atol=1e-4)
    assert (kept, listener.warnings) == ({"area": 1}, [])
    [[tokens, _]] = apply(**options, strength=0.5, strength_type="attn_bias", ctx=listener)
    assert torch.allclose(tokens[:, 7:], wanted, atol=1e-4)
    assert "no bias on attention" in listener.warnings[0]
    with pytest.raises(NodeError, match="width 12"):
        apply(**{**options, "conditioning": [[torch.zeros(1, 7, 20), {}]]}, strength_type="multiply", ctx=listener)


def test_the_published_style_adapter_opens_with_every_key_explained(tmp_path: Path) -> None:
    style = store_on(host_with()).open_style_model(layout_file("t2i-adapter-sd15-style", tmp_path))
    config = style.config
    assert (config.width, config.context_width, config.num_tokens, config.num_layers) == (1024, 768, 8, 3)
