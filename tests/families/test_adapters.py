"""Adapter files on Stable Diffusion: every published key finds its weight, and the loaders change what they should."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError, NodeError
from engine.diffusion.condition_inputs import ConditionInputs
from engine.families.adapters.fitting import open_adapter
from engine.families.sd1.text import ADAPTER_NAMES
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.nn.unet import UNet, UNetConfig
from nodes.adapters import load_lora, load_lora_model_only
from tests.adapter_handles import LayoutSource, NamedHandle, text_handle, unet_handle
from tests.tiny_sd1 import host_with, store_on, tiny_checkpoint

torch.set_num_threads(1)
SD1 = UNetConfig(4, 4, 320, (1, 2, 4, 4), 2, (1, 1, 1, 0), 1, 768)
SD1_TEXT = TextConfig(768, 12, 12, 3072)
SDXL = UNetConfig(4, 4, 320, (1, 2, 4), 2, (0, 2, 10), 10, 2048, head_channels=64, uses_linear=True, vector_width=2816)


def sized(config: UNetConfig) -> NamedHandle:
    with torch.device("meta"):
        return unet_handle(UNet(config), config)


@pytest.fixture(scope="module")
def sd1() -> tuple[NamedHandle, NamedHandle]:
    with torch.device("meta"):
        return sized(SD1), text_handle(TextTransformer(SD1_TEXT), ADAPTER_NAMES)


@pytest.fixture(scope="module")
def sdxl() -> NamedHandle:
    return sized(SDXL)


# ------------------------------------------------------------------ published layouts


@pytest.mark.parametrize(
    ("layout", "num_unet", "num_text"),
    [
        ("lora-kohya-sd15", 192, 72),
        ("lora-kohya-sd15-locon", 278, 72),
        ("lora-lcm-sd15", 278, 0),
        ("lora-diffusers-attnprocs-sd15", 128, 0),
        ("lora-diffusers-sd15", 128, 48),
        ("lora-lycoris-loha-sd15", 272, 72),
        ("lora-lycoris-loha-tucker-sd15", 272, 72),
        ("lora-lycoris-lokr-sd15", 272, 72),
        ("lora-lycoris-lokr-full-sd15", 272, 72),
        ("lora-lycoris-locon-tucker-sd15", 272, 72),
        ("lora-dora-sd15", 272, 72),
    ],
)
def test_every_key_of_a_published_file_for_sd1_finds_a_weight_it_fits(layout, num_unet, num_text, sd1) -> None:
    warnings: list[str] = []
    model, clip = open_adapter(layout, LayoutSource(layout)).apply(*sd1, warn=warnings.append)
    assert warnings == []
    assert (len(model.patches.names), len(clip.patches.names)) == (num_unet, num_text)


@pytest.mark.parametrize(
    ("layout", "num_unet"),
    [("lora-kohya-sdxl", 722), ("lora-lcm-sdxl", 788), ("lora-peft-sdxl", 560), ("lora-dora-peft-sdxl", 560)],
)
def test_every_unet_key_of_a_published_file_for_sdxl_finds_a_weight_it_fits(layout, num_unet, sdxl) -> None:
    warnings: list[str] = []
    model, _ = open_adapter(layout, LayoutSource(layout)).apply(sdxl, None, warn=warnings.append)
    assert warnings == []
    assert len(model.patches.names) == num_unet


@pytest.mark.parametrize(
    ("layout", "phrase"),
    [
        ("lora-kohya-sdxl", "Stable Diffusion XL"),
        ("lora-lcm-sdxl", "Stable Diffusion XL"),
        ("lora-kohya-sd35-large", "Stable Diffusion 3"),
        ("lora-peft-sd35-large", "Stable Diffusion 3"),
        ("control-lora-sdxl-rank128", "holds no adapter"),
    ],
)
def test_a_file_of_another_family_is_refused_with_what_it_looks_like(layout, phrase, sd1) -> None:
    with pytest.raises(CheckpointError, match=phrase):
        open_adapter(layout, LayoutSource(layout)).apply(*sd1)


def test_a_file_for_sd1_is_refused_by_sdxl(sdxl) -> None:
    with pytest.raises(CheckpointError, match=r"does not fit.*looks like an adapter for Stable Diffusion 1\."):
        open_adapter("a.safetensors", LayoutSource("lora-kohya-sd15")).apply(sdxl, None)


# ------------------------------------------------------------------ loaders, on a small checkpoint


@dataclass
class LoaderContext:
    """Opens adapter files of a folder and keeps warnings."""

    folder: Path
    models: object
    warnings: list[str] = field(default_factory=list)

    def model_path(self, folder: str, name: str) -> Path:
        path = self.folder / folder / name
        if not path.exists():
            raise NodeError(f"There is no {folder} file named {name!r}.", code="not_found")
        return path

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@dataclass(frozen=True)
class Scene:
    ctx: LoaderContext
    model: object
    clip: object
    checkpoint: Path

    def write(self, name: str, tensors: dict[str, torch.Tensor]) -> str:
        (self.ctx.folder / "loras").mkdir(exist_ok=True)
        save_file(tensors, self.ctx.folder / "loras" / name)
        return name


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    path = tiny_checkpoint(tmp_path)
    store = store_on(host_with())
    model, clip, _ = store.open_checkpoint(path)
    return Scene(LoaderContext(tmp_path, store), model, clip, path)


def random_lora(shapes: dict[str, tuple[int, ...]], rank: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for module, shape in shapes.items():
        kernel = (1,) * (len(shape) - 2)
        tensors[f"{module}.lora_up.weight"] = torch.randn(shape[0], rank, *kernel, generator=generator) * 0.1
        tensors[f"{module}.lora_down.weight"] = torch.randn(rank, *shape[1:], generator=generator) * 0.1
        tensors[f"{module}.alpha"] = torch.tensor(1.0)
    return tensors


UNET_KEY = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
TEXT_KEY = "lora_te_text_model_encoder_layers_3_mlp_fc1"
LORA = random_lora({UNET_KEY: (64, 64), TEXT_KEY: (128, 32)})


def predict(model) -> torch.Tensor:
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    context = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(2))
    return model.denoise(x, torch.tensor([2.0]), ConditionInputs(context=context))


def merged(scene: Scene, strength: float) -> tuple[object, object]:
    """The checkpoint with the adapter's product added to its weights by hand."""
    tensors = load_file(scene.checkpoint)
    for key, target in (
        (UNET_KEY, "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight"),
        (TEXT_KEY, "cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.weight"),
    ):
        product = LORA[f"{key}.lora_up.weight"] @ LORA[f"{key}.lora_down.weight"] * (1.0 / 2)
        tensors[target] = tensors[target].float() + strength * product
    path = scene.ctx.folder / f"merged{strength}.safetensors"
    save_file(tensors, path)
    model, clip, _ = store_on(host_with()).open_checkpoint(path)
    return model, clip


@pytest.mark.parametrize("strength", [1.0, -0.7])
def test_a_loaded_lora_equals_weights_with_its_product_added(scene: Scene, strength: float) -> None:
    name = scene.write("a.safetensors", LORA)
    model, clip = load_lora(scene.model, scene.clip, name, scene.ctx, strength, strength)
    their_model, their_clip = merged(scene, strength)
    assert torch.allclose(predict(model), predict(their_model), atol=1e-5)
    assert torch.allclose(clip.encode("a fox").context, their_clip.encode("a fox").context, atol=1e-5)
    assert not torch.allclose(predict(model), predict(scene.model), atol=1e-4)
    assert scene.ctx.warnings == []


def test_strength_zero_gives_the_very_same_handles(scene: Scene) -> None:
    name = scene.write("a.safetensors", LORA)
    assert load_lora(scene.model, scene.clip, name, scene.ctx, 0.0, 0.0) == (scene.model, scene.clip)
    model, clip = load_lora(scene.model, scene.clip, name, scene.ctx, 1.0, 0.0)
    assert clip is scene.clip
    assert model.identity != scene.model.identity
    assert load_lora_model_only(scene.model, name, scene.ctx, 0.0) is scene.model


def test_the_base_is_untouched_after_an_adapter_was_used(scene: Scene) -> None:
    before = predict(scene.model)
    predict(load_lora_model_only(scene.model, scene.write("a.safetensors", LORA), scene.ctx))
    assert torch.equal(predict(scene.model), before)


def test_adapters_stack_in_the_order_they_are_loaded(scene: Scene) -> None:
    lengths = {f"{UNET_KEY}.dora_scale": torch.ones(64, 1)}
    plain = scene.write("plain.safetensors", LORA)
    dora = scene.write("dora.safetensors", {k: v for k, v in LORA.items() if k.startswith(UNET_KEY)} | lengths)
    first = load_lora_model_only(load_lora_model_only(scene.model, plain, scene.ctx), dora, scene.ctx)
    second = load_lora_model_only(load_lora_model_only(scene.model, dora, scene.ctx), plain, scene.ctx)
    assert first.identity != second.identity
    assert not torch.allclose(predict(first), predict(second), atol=1e-5)


def test_the_same_adapter_twice_is_twice_its_strength(scene: Scene) -> None:
    name = scene.write("a.safetensors", LORA)
    once = load_lora_model_only(scene.model, name, scene.ctx, 1.0)
    twice = load_lora_model_only(once, name, scene.ctx, 1.0)
    double = load_lora_model_only(scene.model, name, scene.ctx, 2.0)
    assert torch.allclose(predict(twice), predict(double), atol=1e-5)


def test_what_nothing_uses_is_named_in_one_warning(scene: Scene) -> None:
    more = {f"lora_unet_nowhere_{n}.lora_up.weight": torch.zeros(1, 1) for n in range(5)}
    name = scene.write("odd.safetensors", {**LORA, **more, "surprise": torch.zeros(1)})
    load_lora(scene.model, scene.clip, name, scene.ctx)
    assert len(scene.ctx.warnings) == 1
    assert "odd.safetensors: 6 part(s) were left out" in scene.ctx.warnings[0]
    assert "lora_unet_nowhere_0" in scene.ctx.warnings[0]
    assert "and 3 more" in scene.ctx.warnings[0]


def test_text_parts_are_nothing_to_warn_about_without_a_text_encoder(scene: Scene) -> None:
    load_lora_model_only(scene.model, scene.write("a.safetensors", LORA), scene.ctx)
    assert scene.ctx.warnings == []


def test_a_lora_for_text_alone_changes_the_text_encoder_alone(scene: Scene) -> None:
    name = scene.write("text.safetensors", {k: v for k, v in LORA.items() if k.startswith(TEXT_KEY)})
    model, clip = load_lora(scene.model, scene.clip, name, scene.ctx)
    assert model is scene.model
    assert clip.identity != scene.clip.identity
    assert load_lora_model_only(scene.model, name, scene.ctx) is scene.model


def test_a_first_convolution_of_another_width_is_left_out_with_a_warning(scene: Scene) -> None:
    odd = {"lora_unet_conv_in.diff": torch.zeros(32, 9, 3, 3)}
    model = load_lora_model_only(scene.model, scene.write("odd.safetensors", {**LORA, **odd}), scene.ctx)
    assert "input_blocks.0.0.weight" not in model.patches.names
    assert "lora_unet_conv_in" in scene.ctx.warnings[0]


@pytest.mark.parametrize(
    "key",
    [
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        "base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q",
        "lycoris_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
    ],
)
def test_other_spellings_of_a_module_mean_the_same(scene: Scene, key: str) -> None:
    renamed = {k.replace(UNET_KEY, key): v for k, v in LORA.items() if k.startswith(UNET_KEY)}
    model = load_lora_model_only(scene.model, scene.write("b.safetensors", renamed), scene.ctx)
    assert model.patches.names == {"input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight"}


def test_a_changed_file_is_another_adapter(scene: Scene) -> None:
    name = scene.write("a.safetensors", LORA)
    first = load_lora_model_only(scene.model, name, scene.ctx)
    again = load_lora_model_only(scene.model, name, scene.ctx)
    assert first.identity == again.identity
    scene.write("a.safetensors", {**LORA, f"{UNET_KEY}.alpha": torch.tensor([2.0])})
    assert load_lora_model_only(scene.model, name, scene.ctx).identity != first.identity
