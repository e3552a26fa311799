"""Loading and saving pictures: pixels, masks, metadata."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from node_context import KeepingContext
from PIL import Image

from engine.core.errors import Cancelled, NodeError
from engine.graph.embedded import read_texts
from nodes.animation import save_animated_png, save_animated_webp
from nodes.image_files import (
    capture_webcam,
    load_image,
    load_image_mask,
    load_image_output,
    preview_image,
    preview_mask,
    save_image,
    save_image_as,
    save_image_websocket,
)

PROMPT = {"1": {"class_type": "LoadImage", "inputs": {"image": "é.png"}}}
EXTRA = {"workflow": {"nodes": [], "version": 0.4}, "note": "a: b, c"}


def bytes_of(path: Path, mode: str = "RGB") -> np.ndarray:
    return np.asarray(Image.open(path).convert(mode)).astype(np.float32) / 255


def test_a_colour_photograph_loads_as_its_bytes_over_255(ctx: KeepingContext, pictures: Path) -> None:
    image, mask = load_image("photo.png", ctx)
    assert image.dtype == torch.float32
    assert image.shape == (1, 128, 192, 3)
    assert np.array_equal(image[0].numpy(), bytes_of(pictures / "photo.png"))
    assert torch.equal(mask, torch.zeros(1, 64, 64))


def test_alpha_becomes_an_inverted_mask_and_leaves_colours_alone(ctx: KeepingContext, pictures: Path) -> None:
    image, mask = load_image("cutout.png", ctx)
    rgba = bytes_of(pictures / "cutout.png", "RGBA")
    assert np.array_equal(image[0].numpy(), rgba[..., :3])
    assert np.array_equal(mask[0].numpy(), 1 - rgba[..., 3])
    assert mask[0, 0, 0] == 1
    assert mask[0, 64, 48] == 0


def test_grey_with_alpha_gives_grey_colours_and_the_mask(ctx: KeepingContext, pictures: Path) -> None:
    image, mask = load_image("grey_alpha.png", ctx)
    assert torch.equal(image[..., 0], image[..., 2])
    assert np.array_equal(mask[0].numpy(), 1 - bytes_of(pictures / "grey_alpha.png", "RGBA")[..., 3])


def test_a_transparent_palette_colour_is_masked(ctx: KeepingContext, pictures: Path) -> None:
    _, opaque = load_image("palette.png", ctx)
    _, mask = load_image("palette_clear.png", ctx)
    indexes = np.asarray(Image.open(pictures / "palette_clear.png"))
    assert opaque.shape == (1, 64, 64)
    assert np.array_equal(mask[0].numpy(), (indexes == indexes[0, 0]).astype(np.float32))


def test_the_orientation_tag_is_applied(ctx: KeepingContext) -> None:
    upright, _ = load_image("photo.jpg", ctx)
    turned, _ = load_image("rotated.jpg", ctx)
    assert turned.shape == upright.shape == (1, 128, 192, 3)
    assert (turned - upright).abs().mean() < 0.02


def test_sixteen_bit_grey_keeps_its_precision(ctx: KeepingContext) -> None:
    image, _ = load_image("grey16.png", ctx)
    wanted = torch.from_numpy(np.linspace(0, 65535, 64 * 32).reshape(32, 64).astype(np.uint16).astype(np.float32))
    assert torch.equal(image[0, ..., 1], wanted / 65535)
    assert len(image.unique()) == 64 * 32


@pytest.mark.parametrize(("name", "size"), [("grey.png", (128, 192)), ("bilevel.png", (128, 192)),
                                            ("cmyk.jpg", (64, 96)), ("rgb16.png", (32, 64))])  # fmt: skip
def test_every_colour_mode_loads_as_three_channels_between_0_and_1(
    ctx: KeepingContext, name: str, size: tuple[int, int]
) -> None:
    image, _ = load_image(name, ctx)
    assert image.shape == (1, *size, 3)
    assert 0 <= image.min() < image.max() <= 1


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp", "clip.png"])
def test_every_frame_of_an_animation_is_one_image_of_the_batch(ctx: KeepingContext, name: str) -> None:
    image, mask = load_image(name, ctx)
    assert image.shape == (4, 64, 96, 3)
    assert mask.shape[0] == 4
    for frame in range(4):
        x, y = 14 + frame * 18, 24
        assert torch.allclose(image[frame, y, x], torch.tensor([250, 240, 120]) / 255, atol=0.06)


def test_frames_of_another_size_than_the_first_are_skipped(ctx: KeepingContext) -> None:
    image, _ = load_image("pages.tiff", ctx)
    assert image.shape == (2, 64, 96, 3)


def test_output_pictures_are_looked_up_among_the_outputs(ctx: KeepingContext) -> None:
    first, _ = load_image_output("photo.png", ctx)
    second, _ = load_image_output("photo.png [output]", ctx)
    assert torch.equal(first, second)
    assert ctx.paths_asked == ["photo.png [output]", "photo.png [output]"]


def test_a_picture_from_the_camera_is_the_uploaded_file(ctx: KeepingContext, pictures: Path) -> None:
    image = capture_webcam("photo.png", 64, 64, False, ctx=ctx)
    assert np.array_equal(image[0].numpy(), bytes_of(pictures / "photo.png"))
    assert capture_webcam("cutout.png", ctx=ctx).shape[-1] == 3
    with pytest.raises(NodeError, match=r"webcam/1\.png"):
        capture_webcam("webcam/1.png", ctx=ctx)


def test_a_mask_is_one_channel_and_alpha_is_inverted(ctx: KeepingContext, pictures: Path) -> None:
    rgba = bytes_of(pictures / "cutout.png", "RGBA")
    for index, channel in enumerate(("red", "green", "blue")):
        assert np.array_equal(load_image_mask("cutout.png", channel, ctx)[0].numpy(), rgba[..., index])
    assert np.array_equal(load_image_mask("cutout.png", "alpha", ctx)[0].numpy(), 1 - rgba[..., 3])
    assert torch.equal(load_image_mask("photo.png", "alpha", ctx), torch.zeros(1, 128, 192))


def test_a_missing_file_is_named(ctx: KeepingContext) -> None:
    with pytest.raises(NodeError, match=r"nothing\.png"):
        load_image("nothing.png", ctx)


def test_a_loaded_picture_is_saved_with_the_same_bytes(ctx: KeepingContext, pictures: Path) -> None:
    image, _ = load_image("photo.png", ctx)
    save_image(image, ctx)
    assert np.array_equal(np.asarray(ctx.files[0].picture()), np.asarray(Image.open(pictures / "photo.png")))


def test_values_are_clipped_and_fractions_cut(ctx: KeepingContext) -> None:
    image = torch.tensor([-1.0, 0.5, 0.999, 2.0, float("nan"), 1 / 255]).reshape(1, 2, 3, 1).expand(-1, -1, -1, 3)
    save_image(image, ctx)
    assert np.asarray(ctx.files[0].picture())[..., 0].ravel().tolist() == [0, 127, 254, 255, 0, 1]


def test_saved_files_carry_the_prompt_then_the_workflow_before_the_pixels(ctx: KeepingContext) -> None:
    save_image(torch.rand(2, 8, 16, 3), ctx, "folder/cat_%width%", PROMPT, EXTRA)
    assert [(f.prefix, f.extension, f.media_type, f.folder, f.ui_key) for f in ctx.files] == [
        ("folder/cat_%width%", "png", "image/png", "output", "images")
    ] * 2
    assert [(f.width_px, f.height_px, f.batch_number) for f in ctx.files] == [(16, 8, 0), (16, 8, 1)]
    chunks = png_chunks(ctx.files[0].data)
    kinds = [kind for kind, _ in chunks]
    assert kinds == [b"IHDR", b"tEXt", b"tEXt", b"tEXt", b"IDAT", b"IEND"]
    texts = [data for kind, data in chunks if kind == b"tEXt"]
    assert texts[0] == b"prompt\0" + json.dumps(PROMPT).encode("ascii")
    assert b"\\u00e9" in texts[0]
    assert texts[1] == b'workflow\0{"nodes": [], "version": 0.4}'
    assert texts[2] == b'note\0"a: b, c"'


def test_without_metadata_nothing_is_written(ctx: KeepingContext) -> None:
    ctx.metadata_policy = "none"
    save_image(torch.rand(1, 8, 8, 3), ctx, prompt=PROMPT, extra_pnginfo=EXTRA)
    save_animated_webp(torch.rand(2, 8, 8, 3), ctx, method="fastest", prompt=PROMPT, extra_pnginfo=EXTRA)
    save_animated_png(torch.rand(2, 8, 8, 3), ctx, prompt=PROMPT, extra_pnginfo=EXTRA)
    assert all(b"class_type" not in file.data for file in ctx.files)
    assert ctx.files[0].picture().info == {}


GENERATION = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 4, "positive": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "ein Fähnchen 🦊"}},
    "7": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
}
PLAIN = "ein Fähnchen 🦊\nSteps: 4, Seed: 7, Size: 16x8, Version: Atelier"


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "webp (lossless)"])
@pytest.mark.parametrize("policy", ["none", "parameters", "full"])
def test_each_format_tells_what_the_policy_allows(ctx: KeepingContext, format: str, policy: str) -> None:
    ctx.metadata_policy = policy
    save_image_as(torch.rand(1, 8, 16, 3), ctx, format=format, prompt=GENERATION, extra_pnginfo=EXTRA)
    (file,) = ctx.files
    container, texts = read_texts(file.data)
    assert (container, file.media_type) == (format.partition(" ")[0], f"image/{container}")
    assert file.picture().size == (16, 8)
    plain = {} if policy == "none" else {"parameters": PLAIN}
    graph = {"prompt": json.dumps(GENERATION), "workflow": json.dumps(EXTRA["workflow"])} if policy == "full" else {}
    texts.pop("note", None)
    assert texts == {**plain, **graph}


def test_moving_pictures_carry_the_plain_text_too(ctx: KeepingContext) -> None:
    save_animated_webp(torch.rand(2, 8, 16, 3), ctx, method="fastest", prompt=GENERATION)
    save_animated_png(torch.rand(2, 8, 16, 3), ctx, prompt=GENERATION)
    assert [read_texts(file.data)[1]["parameters"] for file in ctx.files] == [PLAIN, PLAIN]


def test_a_graph_too_large_for_jpeg_is_left_out_with_a_warning(ctx: KeepingContext) -> None:
    extra = {"workflow": "x" * 70_000}
    save_image_as(torch.rand(1, 8, 16, 3), ctx, format="jpeg", prompt=GENERATION, extra_pnginfo=extra)
    assert read_texts(ctx.files[0].data)[1] == {"parameters": PLAIN}
    assert len(ctx.warnings) == 1


def test_images_with_alpha_are_saved_with_alpha(ctx: KeepingContext) -> None:
    save_image(torch.rand(1, 8, 8, 4), ctx)
    assert ctx.files[0].picture().mode == "RGBA"


def test_saving_stops_when_the_job_is_cancelled(ctx: KeepingContext) -> None:
    ctx.is_cancelled = True
    with pytest.raises(Cancelled):
        save_image(torch.rand(3, 8, 8, 3), ctx)
    assert ctx.files == []


def test_previews_go_to_the_temp_folder_under_five_letters_fixed_per_job_and_node(ctx: KeepingContext) -> None:
    image = torch.rand(1, 8, 8, 3)
    preview_image(image, ctx, PROMPT, EXTRA)
    preview_image(image, ctx, PROMPT, EXTRA)
    ctx.node_id = "8"
    preview_mask(torch.rand(8, 8), ctx, PROMPT, EXTRA)
    first, again, other = ctx.files
    assert re.fullmatch(r"ComfyUI_temp_[a-z]{5}", first.prefix)
    assert first.prefix == again.prefix != other.prefix
    assert {file.folder for file in ctx.files} == {"temp"}
    assert json.loads(other.picture().info["prompt"]) == PROMPT


def test_a_mask_preview_shows_the_values_as_grey(ctx: KeepingContext) -> None:
    mask = torch.tensor([[0.0, 1.0], [100 / 255, 0.25]])
    preview_mask(mask, ctx)
    pixels = np.asarray(ctx.files[0].picture())
    assert pixels.shape == (2, 2, 3)
    assert pixels[..., 1].ravel().tolist() == [0, 255, 100, 63]


def test_websocket_images_are_sent_in_order_and_nothing_is_saved(ctx: KeepingContext) -> None:
    images = torch.rand(3, 4, 4, 3)
    save_image_websocket(images, ctx)
    assert [(index, total) for _, index, total in ctx.images] == [(0, 3), (1, 3), (2, 3)]
    assert torch.equal(ctx.images[2][0], images[2])
    assert ctx.files == []


def test_an_animated_webp_keeps_frames_time_and_metadata(ctx: KeepingContext, pictures: Path) -> None:
    frames, _ = load_image("clip.png", ctx)
    result = save_animated_webp(frames, ctx, "clip", 8.0, method="fastest", prompt=PROMPT, extra_pnginfo=EXTRA)
    assert result.ui == {"animated": [True]}
    picture = ctx.files[0].picture()
    assert (picture.n_frames, ctx.files[0].extension, ctx.files[0].media_type) == (4, "webp", "image/webp")
    for number in range(4):
        picture.seek(number)
        picture.load()
        assert picture.info["duration"] == 125
        assert np.array_equal(np.asarray(picture.convert("RGB")), (frames[number] * 255).byte().numpy())
    exif = picture.getexif()
    assert exif[0x0110] == "prompt:" + json.dumps(PROMPT)
    assert exif[0x010F] == "workflow:" + json.dumps(EXTRA["workflow"])
    assert exif[0x010E] == 'note:"a: b, c"'


def test_a_webp_of_one_frame_is_not_announced_as_animated(ctx: KeepingContext) -> None:
    assert save_animated_webp(torch.rand(1, 8, 8, 3), ctx, method="fastest").ui == {"animated": [False]}


def test_a_webp_wider_than_the_format_allows_is_refused(ctx: KeepingContext) -> None:
    with pytest.raises(NodeError, match="16383"):
        save_animated_webp(torch.zeros(1, 1, 16384, 3), ctx, method="fastest")


def test_an_animated_png_keeps_frames_time_and_metadata_after_the_pixels(ctx: KeepingContext) -> None:
    frames = torch.rand(3, 8, 8, 3)
    result = save_animated_png(frames, ctx, "clip", 10.0, prompt=PROMPT, extra_pnginfo=EXTRA)
    assert result.ui == {"animated": [True]}
    picture = ctx.files[0].picture()
    assert picture.n_frames == 3
    picture.seek(2)
    assert picture.info["duration"] == 100
    assert np.array_equal(np.asarray(picture.convert("RGB")), (frames[2] * 255).byte().numpy())
    chunks = png_chunks(ctx.files[0].data)
    private = [data for kind, data in chunks if kind == b"comf"]
    assert private[0] == b"prompt\0" + json.dumps(PROMPT).encode("latin-1")
    assert private[1] == b"workflow\0" + json.dumps(EXTRA["workflow"]).encode("latin-1")
    kinds = [kind for kind, _ in chunks]
    assert kinds.index(b"comf") > kinds.index(b"IDAT")


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    position, found = 8, []
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        found.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found
