"""Training a LoRA by node on a small checkpoint, and what becomes of its outputs."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load, save_file

from engine.core.errors import Cancelled, NodeError, OutOfMemory
from engine.diffusion.condition_inputs import ConditionInputs
from engine.families.model_store import ModelStore
from engine.worker.training import WorkerTraining
from nodes.adapters import load_lora_model_only
from nodes.training import load_lora_model, plot_losses, save_lora, train_lora
from nodes.training_images import load_image_set, load_image_text_set
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)


@dataclass
class TrainingContext:
    """Trains and opens models for real; keeps progress, warnings and files. `cancel_at` stops at a step."""

    folder: Path
    models: ModelStore
    training: WorkerTraining = field(default_factory=WorkerTraining)
    preview_method: str = "none"
    metadata_enabled: bool = True
    cancel_at: int = 10_000
    progressed: list[float] = field(default_factory=list)
    previews: list[torch.Tensor] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)

    def progress(self, value: float, maximum: float, preview: torch.Tensor | None = None) -> None:
        if value >= self.cancel_at:
            raise Cancelled("The job was cancelled.")
        self.progressed.append(value)
        if preview is not None:
            self.previews.append(preview)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def model_path(self, folder: str, name: str) -> Path:
        return self.folder / folder / name

    def input_path(self, name: str) -> Path:
        return self.folder / name

    def save_file(self, data: bytes, *, prefix: str, extension: str, **options: Any) -> None:
        self.files.append((prefix, extension, data))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelStore, Path]:
    return store_on(host_with()), shallow_checkpoint(tmp_path_factory.mktemp("shallow"))


@pytest.fixture
def ctx(store, tmp_path: Path) -> TrainingContext:
    return TrainingContext(tmp_path, store[0])


@pytest.fixture
def model(store):
    return store[0].open_checkpoint(store[1])[0]


def positive(seed: int = 2, tokens: int = 77) -> list[Any]:
    return [[torch.randn(1, tokens, 32, generator=torch.Generator().manual_seed(seed)), {}]]


LATENTS = {"samples": torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * 3}
QUICK = {"steps": 2, "rank": 2, "lora_dtype": "fp32", "gradient_checkpointing": False}


def trained(model, ctx: TrainingContext, **options: Any):
    """As a worker calls the node: without gradients."""
    with torch.inference_mode():
        return train_lora(
            model, options.pop("latents", LATENTS), options.pop("positive", positive()), ctx, **{**QUICK, **options}
        )


def predict(model, sigma: float = 2.0) -> torch.Tensor:
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    return model.denoise(x, torch.tensor([sigma]), ConditionInputs(context=positive()[0][0]))


def error(model) -> float:
    """How far the model is from the latents it was trained on, over some noise levels."""
    clean = model.latent_format.to_network(LATENTS["samples"])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(9))
    inputs = ConditionInputs(context=positive()[0][0])
    levels = (0.5, 2.0, 8.0)
    parts = [model.denoise(clean + s * noise, torch.full((2,), s), inputs) - clean for s in levels]
    return sum(float((part / s).square().mean()) for part, s in zip(parts, levels, strict=True))


# ------------------------------------------------------------------ training


def test_training_lowers_the_loss_and_the_saved_file_gives_the_trained_model(model, ctx) -> None:
    changed, lora, loss, steps = trained(model, ctx, steps=30, learning_rate=1e-2, batch_size=2)
    assert error(changed) < 0.8 * error(model)
    assert (steps, len(loss["loss"]), ctx.progressed) == (30, 30, list(range(31)))
    save_lora(lora, ctx, steps=steps)
    ((prefix, extension, data),) = ctx.files
    assert (prefix, extension) == ("loras/ComfyUI_trained_lora_30_steps", "safetensors")
    (ctx.folder / "loras").mkdir()
    (ctx.folder / "loras" / "mine.safetensors").write_bytes(data)
    loaded = load_lora_model_only(model, "mine.safetensors", ctx)
    assert torch.equal(predict(loaded), predict(changed))
    assert torch.equal(predict(load_lora_model(model, lora, ctx)), predict(changed))
    assert ctx.warnings == []


def test_the_model_itself_stays_as_it_is_and_strength_zero_gives_it_back(model, ctx) -> None:
    before = predict(model)
    _, lora, _, _ = trained(model, ctx)
    assert torch.equal(predict(model), before)
    assert load_lora_model(model, lora, ctx, 0.0) is model


@pytest.mark.parametrize("algorithm", ["LoRA", "LoHa", "LoKr", "OFT"])
def test_every_algorithm_begins_as_nothing_and_is_loaded_as_it_was_trained(model, ctx, algorithm: str) -> None:
    _, unlearned, _, _ = trained(model, ctx, algorithm=algorithm, learning_rate=1e-7, steps=1, optimizer="SGD")
    assert torch.allclose(predict(load_lora_model(model, unlearned, ctx)), predict(model), atol=1e-5)
    changed, lora, _, _ = trained(model, ctx, algorithm=algorithm, learning_rate=1e-2)
    assert not torch.allclose(predict(changed), predict(model), atol=1e-5)
    assert torch.equal(predict(load_lora_model(model, lora, ctx)), predict(changed))
    assert ctx.warnings == []


def test_equal_seeds_make_equal_loras_and_others_do_not(model, ctx) -> None:
    first, again, other = (trained(model, ctx, seed=seed)[1] for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_recomputed_activations_and_divided_batches_change_nothing_but_rounding(model, ctx) -> None:
    options = {"batch_size": 2, "optimizer": "SGD", "learning_rate": 0.1}
    whole = trained(model, ctx, **options)[1]
    recomputed = trained(model, ctx, **options, **{"gradient_checkpointing": True})[1]
    divided = trained(model, ctx, **{**options, "batch_size": 1}, grad_accumulation_steps=2)[1]
    for key in whole:
        assert torch.allclose(whole[key], recomputed[key], atol=1e-5), key
        assert torch.allclose(whole[key], divided[key], atol=1e-4), key


def test_a_lora_is_gone_on_with_and_what_it_has_for_texts_stays(model, ctx) -> None:
    _, lora, _, steps = trained(model, ctx)
    text = {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(64, 1)}
    (ctx.folder / "loras").mkdir()
    save_file({**lora, **text}, ctx.folder / "loras" / "mine_2_steps_00001_.safetensors")
    _, more, _, total = trained(model, ctx, existing_lora="mine_2_steps_00001_.safetensors", learning_rate=1e-7)
    assert (steps, total) == (2, 4)
    assert all(torch.allclose(more[key], lora[key], atol=1e-5) for key in lora)
    assert torch.equal(more[next(iter(text))], text[next(iter(text))])


def test_a_model_with_adapters_is_trained_with_them(model, ctx) -> None:
    changed, lora, _, _ = trained(model, ctx, learning_rate=3e-2)
    on_top, more, loss, _ = trained(changed, ctx, learning_rate=3e-2)
    assert loss["loss"][0] != trained(model, ctx)[2]["loss"][0]
    both = load_lora_model(load_lora_model(model, lora, ctx), more, ctx)
    assert torch.equal(predict(on_top), predict(both))


def test_training_stops_between_steps_when_it_is_cancelled(model, ctx) -> None:
    ctx.cancel_at = 1
    with pytest.raises(Cancelled):
        trained(model, ctx)
    assert ctx.progressed == [0]


def test_each_picture_may_have_its_own_text_of_its_own_length(model, ctx) -> None:
    texts = positive(2) + positive(3, tokens=154)
    assert len(trained(model, ctx, positive=texts, batch_size=2)[2]["loss"]) == 2
    with pytest.raises(NodeError, match="2 latents but 3 conditionings"):
        trained(model, ctx, positive=texts + positive())


def test_a_training_that_does_not_fit_says_what_to_change(store, ctx) -> None:
    small = store_on(host_with(budget_bytes=1 << 20)).open_checkpoint(store[1])[0]
    with pytest.raises(OutOfMemory, match="MiB may be used"):
        trained(small, ctx)


def test_the_loss_is_shown_while_it_falls(model, ctx) -> None:
    ctx.preview_method = "auto"
    trained(model, ctx)
    assert [tuple(preview.shape) for preview in ctx.previews] == [(480, 800, 3)] * 2


def test_a_lora_with_narrow_values_is_half_the_size(model, ctx) -> None:
    lora = trained(model, ctx, lora_dtype="bf16", steps=1)[1]
    assert {tensor.dtype for key, tensor in lora.items() if not key.endswith(".alpha")} == {torch.bfloat16}


def test_a_saved_lora_says_what_it_is_the_way_other_tools_read_it(model, ctx) -> None:
    lora = trained(model, ctx, steps=1)[1]
    save_lora(lora, ctx)
    data = ctx.files[0][2]
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    assert header["__metadata__"] == {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "2",
        "ss_network_alpha": "2",
    }
    keys = load(data).keys()
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    assert {f"{module}.lora_up.weight", f"{module}.lora_down.weight", f"{module}.alpha"} <= keys


# ------------------------------------------------------------------ the curve


def test_the_curve_is_a_picture_with_the_workflow_in_it(ctx) -> None:
    plot_losses({"loss": [1.0, 0.5, float("nan"), 0.25]}, ctx, "curve", {"1": {}}, None)
    ((prefix, extension, data),) = ctx.files
    path = ctx.folder / "curve.png"
    path.write_bytes(data)
    with Image.open(path) as picture:
        assert (prefix, extension, picture.size, "prompt" in picture.info) == ("curve", "png", (800, 480), True)
    with pytest.raises(NodeError, match="no losses"):
        plot_losses({}, ctx)


# ------------------------------------------------------------------ folders of pictures


def paint(path: Path, size: tuple[int, int], color: tuple[int, int, int] = (255, 0, 0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_a_folder_is_one_batch_in_the_order_of_names(ctx) -> None:
    paint(ctx.folder / "set" / "b.png", (8, 4), (0, 255, 0))
    paint(ctx.folder / "set" / "a.png", (8, 4))
    (ctx.folder / "set" / "notes.md").write_text("no picture")
    images = load_image_set("set", ctx)
    assert images.shape == (2, 4, 8, 3)
    assert images[:, 0, 0].tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("method", "corner", "middle"),
    [("Stretch", [0, 1, 0], [0, 1, 0]), ("Crop", [0, 1, 0], [0, 1, 0]), ("Pad", [0, 0, 0], [0, 1, 0])],
)
def test_pictures_are_brought_to_the_size_of_the_first(ctx, method: str, corner, middle) -> None:
    paint(ctx.folder / "set" / "a.png", (8, 8))
    paint(ctx.folder / "set" / "b.png", (16, 8), (0, 255, 0))
    with pytest.raises(NodeError, match=r"b\.png is 16×8, the others are 8×8"):
        load_image_set("set", ctx)
    images = load_image_set("set", ctx, method)
    assert images.shape == (2, 8, 8, 3)
    assert images[1, 0, 0].tolist() == corner
    assert images[1, 4, 4].tolist() == middle


def test_texts_lie_beside_pictures_and_folders_may_say_how_often_theirs_count(store, ctx) -> None:
    clip = store[0].open_checkpoint(store[1])[1]
    paint(ctx.folder / "set" / "a.png", (8, 8))
    (ctx.folder / "set" / "a.txt").write_text("a fox\n")
    paint(ctx.folder / "set" / "2_more" / "b.png", (8, 8))
    images, conditioning = load_image_text_set("set", clip, ctx, "None", 8, 8)
    assert len(images) == len(conditioning) == 3
    assert torch.equal(conditioning[0][0], clip.encode("a fox").context)
    assert torch.equal(conditioning[2][0], clip.encode("").context)
    assert all("b.png has no text file" in warning for warning in ctx.warnings)


def test_an_empty_folder_is_an_error_that_names_it(ctx) -> None:
    (ctx.folder / "empty").mkdir()
    with pytest.raises(NodeError, match="no picture in the folder 'empty'"):
        load_image_set("empty", ctx)
