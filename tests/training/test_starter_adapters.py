"""What is put on the starter does its part: a LoRA brings its style, a word its subject, an upscaler sharp pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.training.degradation import reduced
from engine.training.postcards import read, render, scene_at
from engine.training.postcards.scenery_reading import margin_distance
from engine.worker.painting import Painter, PaintSettings
from tests.training.starter_parts import MODELS, asked, needs, starter, store

WATERCOLOR = MODELS / "loras" / "starter_lora_watercolor.safetensors"
WOODCUT = MODELS / "loras" / "starter_lora_woodcut.safetensors"
PURPLE_HOUSE = MODELS / "embeddings" / "starter_purple_house.safetensors"
UPSCALER = MODELS / "upscale_models" / "starter_upscaler_x2.safetensors"
PREVIEW_DECODER = MODELS / "vae_approx" / "taestarter_decoder.safetensors"
SETTINGS = PaintSettings(steps=12, guidance=4.0, sampler="dpmpp_2m", scheduler="karras")


@cache
def painted(name: str, strength: float, num: int) -> tuple[np.ndarray, ...]:
    """Pictures of plain prompts, which name no style, with a LoRA of `models/loras`."""
    model, clip, vae = starter()
    model, clip = store().open_adapter(MODELS / "loras" / name).apply(model, clip, strength, strength)
    texts = [f"a {group.colour} {group.kind}" for group in (question.scene.groups[0] for question in asked(num))]
    return tuple(Painter(model, clip, vae).paint(texts, SETTINGS, 3))


def share_in(style: str, pictures: Sequence[np.ndarray]) -> float:
    return float(np.mean([read(picture).style == style for picture in pictures]))


@pytest.mark.slow
@needs(WATERCOLOR)
def test_the_watercolor_lora_brings_its_style_and_its_strength_scales_it() -> None:
    none, half, whole = (painted(WATERCOLOR.name, strength, 6) for strength in (0.0, 0.5, 1.0))
    assert share_in("watercolor", none) == 0
    assert share_in("watercolor", whole) >= 0.8
    # Watercolors leave a margin of bare paper.
    from_paper = [np.mean([margin_distance(picture) for picture in pictures]) for pictures in (none, half, whole)]
    assert from_paper[0] > from_paper[1] > from_paper[2]


@pytest.mark.slow
@needs(WOODCUT)
def test_the_woodcut_lora_brings_its_style() -> None:
    assert share_in("woodcut", painted(WOODCUT.name, 0.0, 6)) == 0
    assert share_in("woodcut", painted(WOODCUT.name, 1.0, 6)) >= 0.8


@pytest.mark.slow
@needs(PURPLE_HOUSE)
def test_the_word_brings_the_subject_that_no_training_picture_showed() -> None:
    scene = "a large {} on the hills during the day, clear weather"
    shown = {
        word: sum(
            any((find.kind, find.colour) == ("house", "purple") for find in read(picture).finds)
            for picture in Painter(*starter()).paint([scene.format(word)] * 6, SETTINGS, 11)
        )
        for word in ("house", "embedding:starter_purple_house")
    }
    assert shown["embedding:starter_purple_house"] >= 4
    assert shown["house"] <= 2


@needs(UPSCALER)
def test_the_upscaler_is_nearer_to_the_scene_than_bicubic_enlargement() -> None:
    upscaler = store().open_upscaler(UPSCALER)
    gains = []
    for number in range(4):
        scene = scene_at(number, split="held_out")
        whole = torch.from_numpy(render(scene, 384)).permute(2, 0, 1)[None].float() / 255
        small = reduced(whole, 2, "area")
        made = upscaler.upscale(small.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        bicubic = functional.interpolate(small, scale_factor=2.0, mode="bicubic", align_corners=False).clamp(0, 1)
        gains.append(10 * torch.log10((bicubic - whole).square().mean() / (made - whole).square().mean()).item())
    assert min(gains) > 0
    assert np.mean(gains) > 2


@needs(PREVIEW_DECODER)
def test_the_preview_decoder_paints_nearly_what_the_autoencoder_paints() -> None:
    decoder, vae = store().open_preview_decoder(PREVIEW_DECODER), starter()[2]
    scene = torch.from_numpy(render(scene_at(0, split="held_out"), 256))[None].float() / 255
    latent = vae.encode(scene)
    shown = decoder.picture(starter()[0].latent_format.to_network(latent))
    error = (shown - vae.decode(latent)[0]).square().mean()
    assert -10 * torch.log10(error).item() > 24
