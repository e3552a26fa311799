"""Fits what the judge of postcards weighs candidates by, and says how well it reads.

.venv/bin/python tools/fit_judge.py             # fit to training scenes; writes evidence_weights.json
.venv/bin/python tools/fit_judge.py --check     # agreement and refusal on held-out scenes, with the weights in use

Pictures are clean, worn (blurred, halved and enlarged, noisy, in steps), bent (every pixel moved along a smooth random
field by one to three pixels; colours drift with it), melted (corners and thin parts gone), decoded from the starter's
latents, or several of these; none is what a model made. What has to be refused are clouds and all else of a scene
without objects, blobs in the colours of objects, and objects of which less than a third is left.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.training.postcards import Scene, compare, read, render, scene_at, truth_of  # noqa: E402
from engine.training.postcards.captions import everything_in  # noqa: E402
from engine.training.postcards.detection import candidates_in, read_picture  # noqa: E402
from engine.training.postcards.evidence import Candidate, features  # noqa: E402
from engine.training.postcards.palette import OBJECT_COLOURS  # noqa: E402
from engine.training.postcards.scenery_reading import background_rows, read_scenery, read_style  # noqa: E402
from engine.training.postcards.vocabulary import KINDS  # noqa: E402

__all__ = ["main"]

FIRST_SCENE, FIRST_HELD_OUT = 9000, 5000
SIZE_PX, READ_PX = 256, 128
SAME, PARTLY = 0.6, 0.3
"""Common share of two boxes from which a candidate is the object, and from which it is left out of the fit."""
REFUSED_WEIGHT = 4.0
"""How much a candidate in a blob, a faded object or a cloud counts; a wrong find costs more than a missed one."""
RIDGE = 3.0
TO_REFUSE = frozenset(("bare", "bare, decoded", "blobs", "faded"))
WEIGHTS_FILE = ROOT / "engine" / "training" / "postcards" / "evidence_weights.json"

Paint = Callable[[np.ndarray], np.ndarray]


def main() -> int:
    """Fit, or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="measure the weights in use on held-out scenes")
    parser.add_argument("--num", type=int, default=96, help="scenes (96)")
    flags = parser.parse_args()
    decode = starter_decoder()
    if flags.check:
        check(flags.num, decode)
    else:
        fit(flags.num, decode)
    return 0


def starter_decoder() -> Paint:
    """Through the starter's autoencoder and back."""
    import torch

    from engine.core.folders import Folders
    from engine.core.settings import MemorySettings, Settings
    from engine.families.model_store import model_store_from_settings

    own = Path(tempfile.mkdtemp(prefix="judge-"))
    folders = Folders(base=ROOT, input=own, output=own, temp=own, user=own, custom_nodes=())
    store = model_store_from_settings(Settings(folders=folders, memory=MemorySettings(device="cpu")))
    vae = store.open_checkpoint(ROOT / "models" / "checkpoints" / "starter.safetensors")[2]

    def decode(picture: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(picture)[None].float() / 255
        return (vae.decode(vae.encode(pixels))[0] * 255).round().clamp(0, 255).to(torch.uint8).numpy()

    return decode


# ------------------------------------------------------------------ pictures


def pictures_of(scene: Scene, chance: np.random.Generator, decode: Paint) -> Iterator[tuple[str, np.ndarray]]:
    """A scene in every state."""
    clean = render(scene, SIZE_PX)
    crooked = bent(clean, chance)
    off = drifted(crooked, chance)
    through = decode(off)
    empty = Image.fromarray(render(replace(scene, groups=()), SIZE_PX))
    bare = np.asarray(empty.filter(ImageFilter.GaussianBlur(6)))
    yield "clean", clean
    yield "worn", worn(clean, chance)
    yield "decoded", decode(clean)
    yield "bent", crooked
    yield "bent, worn", worn(off, chance)
    yield "bent, decoded", through
    yield "melted", decode(melted(drifted(crooked, chance), chance))
    clouds = render(replace(scene, groups=(), sky=replace(scene.sky, weather="cloudy")), SIZE_PX)
    yield "bare", drifted(bent(clouds, chance), chance)
    yield "bare, decoded", decode(drifted(bent(clouds, chance), chance))
    yield "faded", np.rint(0.3 * through + 0.7 * bare).astype(np.uint8)
    yield "blobs", blobs(empty, chance)


def worn(picture: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Blurred, halved and enlarged, noisy and in steps of four levels."""
    image = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1))
    image = image.resize((READ_PX, READ_PX), Image.Resampling.BILINEAR).resize((SIZE_PX, SIZE_PX))
    noise = chance.normal(0, 4, picture.shape)
    return np.clip(np.rint((np.asarray(image) + noise) / 4) * 4, 0, 255).astype(np.uint8)


def bent(picture: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Moved along a smooth field whose deviation is 1.5 to 3.5 pixels along each axis."""
    import torch
    from torch.nn import functional

    coarse = round(SIZE_PX / chance.uniform(12, 30))
    far = chance.uniform(1.5, 3.5)
    field = torch.from_numpy(chance.normal(size=(1, 2, coarse, coarse)))
    field = functional.interpolate(field, (SIZE_PX, SIZE_PX), mode="bicubic", align_corners=False)
    field = far / (SIZE_PX / 2) * field / field.std(dim=(2, 3), keepdim=True)
    still = functional.affine_grid(torch.eye(2, 3, dtype=field.dtype)[None], [1, 1, SIZE_PX, SIZE_PX], False)
    pixels = torch.from_numpy(picture).movedim(2, 0)[None].double()
    moved = functional.grid_sample(pixels, still + field.movedim(1, 3), padding_mode="border", align_corners=False)
    return moved[0].movedim(0, 2).round().to(torch.uint8).numpy()


def drifted(picture: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """A fifth lighter to a quarter darker, every channel up to a tenth by itself."""
    gains = chance.uniform(0.75, 1.2) * chance.uniform(0.9, 1.1, 3)
    return np.clip(np.rint(picture * gains), 0, 255).astype(np.uint8)


def melted(picture: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Corners and thin parts gone: the median over 5 to 9 pixels."""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.MedianFilter(int(chance.choice((5, 7, 9))))))


def blobs(empty: Image.Image, chance: np.random.Generator) -> np.ndarray:
    """Five ellipses and polygons in the colours of objects, somewhere on an empty scene."""
    sheet = empty.copy()
    pen = ImageDraw.Draw(sheet)
    for _ in range(5):
        x, y, radius = *chance.uniform(30, 226, 2), chance.uniform(14, 36)
        paint = OBJECT_COLOURS[list(OBJECT_COLOURS)[chance.integers(len(OBJECT_COLOURS))]]
        if chance.random() < 0.4:
            height = radius * chance.uniform(0.5, 1)
            pen.ellipse((x - radius, y - height, x + radius, y + height), fill=paint)
        else:
            angles = np.sort(chance.uniform(0, 2 * np.pi, chance.integers(3, 8)))
            reach = radius * chance.uniform(0.6, 1.3, (len(angles), 2))
            corners = np.stack((x + reach[:, 0] * np.cos(angles), y + reach[:, 1] * np.sin(angles)), axis=1)
            pen.polygon([(float(corner[0]), float(corner[1])) for corner in corners], fill=paint)
    return np.asarray(sheet.filter(ImageFilter.GaussianBlur(1.2)))


# ------------------------------------------------------------------ fit


def fit(num: int, decode: Paint) -> None:
    """Write the weights that explain best which candidates in training scenes are objects."""
    rows: list[dict[str, float]] = []
    are_objects: list[bool] = []
    counts: list[float] = []
    for index in range(FIRST_SCENE, FIRST_SCENE + num):
        scene = scene_at(index, exclude_styles=("woodcut",))
        for state, picture in pictures_of(scene, np.random.default_rng(index), decode):
            objects = () if state in TO_REFUSE else truth_of(scene, SIZE_PX)
            for candidate, land in weighable(picture):
                common = max((shared(candidate, truth) for truth in objects), default=0.0)
                if not PARTLY < common < SAME:
                    rows.append(features(candidate, land))
                    are_objects.append(common >= SAME)
                    counts.append(REFUSED_WEIGHT if state in TO_REFUSE else 1.0)
        sys.stderr.write(f"scene {index}: {len(rows)} candidates\n")
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    weights = dict(zip(names, logistic(table, np.array(are_objects, float), np.array(counts))))
    rounded = {name: round(float(value), 2) for name, value in weights.items()}
    WEIGHTS_FILE.write_text(json.dumps(rounded, indent=1) + "\n")


def weighable(picture: np.ndarray) -> Iterator[tuple[Candidate, str]]:
    """Every candidate in a picture, and the land it is in."""
    style = read_style(picture)
    scenery = read_scenery(picture, style)
    rows = background_rows(scenery, style, READ_PX)
    for candidate in candidates_in(read_picture(picture, style), rows, scenery.time, style):
        yield candidate, scenery.land


def shared(candidate: Candidate, truth: Any) -> float:
    """Common area of a candidate's box and that of an object of its kind and colour, as a share of both together."""
    if (candidate.kind, candidate.colour) != (truth.kind, truth.colour):
        return 0.0
    left, top, right, bottom = (edge / SIZE_PX for edge in truth.box_px)
    box = candidate.box
    width, height = min(box.right, right) - max(box.left, left), min(box.bottom, bottom) - max(box.top, top)
    common = max(width, 0.0) * max(height, 0.0)
    whole = (box.right - box.left) * (box.bottom - box.top) + (right - left) * (bottom - top)
    return common / (whole - common)


def logistic(table: np.ndarray, is_object: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression with a small ridge, by Newton's method."""
    weights = np.zeros(table.shape[1])
    for _ in range(100):
        share = 1 / (1 + np.exp(-np.clip(table @ weights, -30, 30)))
        slope = table.T @ (counts * (share - is_object)) + RIDGE * weights
        bend = (table * (counts * share * (1 - share))[:, None]).T @ table + RIDGE * np.eye(len(weights))
        step = np.linalg.solve(bend, slope)
        weights -= step
        if np.abs(step).max() < 1e-7:
            break
    return weights


# ------------------------------------------------------------------ check


def check(num: int, decode: Paint) -> None:
    """Print, in Markdown, which true claims hold and which false ones are refused in each state."""
    found: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for index in range(FIRST_HELD_OUT, FIRST_HELD_OUT + num):
        scene = scene_at(index, split="held_out", exclude_styles=("watercolor", "woodcut"), exclude_kinds=("windmill",))
        for state, picture in pictures_of(scene, np.random.default_rng(index), decode):
            reading = read(picture)
            finds = [find for find in reading.finds if find.colour is not None]
            if state in TO_REFUSE:
                found[state]["nothing found"].append(not finds)
                continue
            for verdict in compare(reading, everything_in(scene)).checks:
                found[state][verdict.attribute].append(verdict.holds)
            for kind in set(KINDS) - {group.kind for group in scene.groups}:
                found[state]["refuses another kind"].append(all(find.kind != kind for find in finds))
        sys.stderr.write(f"scene {index}\n")
    names = list(dict.fromkeys(name for shares in found.values() for name in shares))
    sys.stdout.write("| | " + " | ".join(names) + " |\n| --- |" + " ---: |" * len(names) + "\n")
    for state, shares in found.items():
        cells = (f"{100 * np.mean(shares[name]):.1f}" if name in shares else "" for name in names)
        sys.stdout.write(f"| {state} | " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    raise SystemExit(main())
