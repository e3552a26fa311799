"""`main.py evaluate CHECKPOINT`: how well a model of postcards shows what its prompts name, as a table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.evaluate_features import FeatureTables, add_feature_flags
from engine.command.progress_line import ProgressLine
from engine.core.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np

    from engine.core.folders import Folders
    from engine.families.model_store import ModelStore
    from engine.training.evaluation import Question, Scores

__all__ = ["main"]


def main(root: Path, arguments: list[str]) -> int:
    """Make the pictures, judge them, print the table; returns 0."""
    flags = _parser().parse_args(arguments)
    if flags.num < 1:
        raise SettingsError("There is nothing to judge without prompts.", hint="Give --num 1 or more.")
    settings = settings_from_flags(root, flags, arguments)
    from engine.families.model_store import model_store_from_settings
    from engine.training.evaluation import format_table, questions, score_pictures
    from engine.training.postcards import BASE_EXCLUDED_KINDS, BASE_EXCLUDED_STYLES

    kept = ((), ()) if flags.all else (BASE_EXCLUDED_STYLES, BASE_EXCLUDED_KINDS)
    methods = _methods(flags)
    asked = questions(flags.num, exclude_styles=kept[0], exclude_kinds=kept[1])
    line = ProgressLine(sys.stderr)
    rows: dict[str, Scores] = {}
    pictures: dict[str, list[np.ndarray]] = {}
    if flags.truth:
        drawn = (question.truth(flags.size) for question in asked)
        rows["the scenes themselves"] = score_pictures(asked, _shown(drawn, line, "judging scenes", len(asked)))
    store = model_store_from_settings(settings)
    model, clip, vae = _open(settings.folders, store, flags.checkpoint)
    if flags.control or flags.inpaint or flags.refiner:
        tables = FeatureTables(store, settings.folders, flags, (model, clip, vae), asked, line)
        print(tables.text(next(methods)))
        return 0
    if flags.autoencoder:
        line.note(
            f"autoencoder: {_mean_psnr_db(vae, asked, flags.size):.2f} dB on {min(len(asked), 64)} held-out scenes"
        )
    for (sampler, scheduler), guidance in product(methods, flags.guidance):
        title = f"guidance {guidance:g}, {flags.steps} steps, {sampler}, {scheduler}"
        made = _painted((model, clip, vae), asked, flags, guidance, sampler, scheduler)
        pictures[title] = list(_shown(made, line, f"painting at {title}", len(asked)))
        rows[title] = score_pictures(asked, _shown(pictures[title], line, "judging", len(asked)))
    line.close()
    print(format_table(rows))
    if flags.grid is not None and pictures:
        _save_grid(next(iter(pictures.values()))[:32], flags.grid)
        print(flags.grid)
    if flags.json is not None:
        flags.json.write_text(json.dumps({title: _plain(scores) for title, scores in rows.items()}, indent=1) + "\n")
    return 0


def _parser() -> FlagParser:
    parser = FlagParser(prog="main.py evaluate", description="Judge a model on held-out postcard prompts.")
    parser.add_argument("checkpoint", help="a file, or the name of one among the checkpoints")
    parser.add_argument("--num", type=int, default=500, help="prompts (500)")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=_numbers, default=(4.0,), help="one scale or several: 1,3,5; 1 is none")
    parser.add_argument("--sampler", type=_names, default=("dpmpp_2m",), help="one or several: euler,heun; all")
    parser.add_argument("--scheduler", type=_names, default=("karras",), help="one or several; all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=256, help="pixels of a side")
    parser.add_argument("--all", action="store_true", help="ask also for the style and the kind kept from base models")
    parser.add_argument("--truth", action="store_true", help="judge the scenes themselves too: the best there can be")
    parser.add_argument("--autoencoder", action="store_true", help="measure what the autoencoder alone loses")
    parser.add_argument("--grid", type=Path, metavar="FILE", help="save the first 32 pictures as one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the counts")
    add_feature_flags(parser)
    add_server_flags(parser)
    return parser


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _methods(flags: Any) -> Iterator[tuple[str, str]]:
    """Sampler and scheduler of each row. Raises SettingsError for a name that is none."""
    from engine.diffusion import DISCRETIZATIONS, SAMPLERS

    chosen = []
    for what, names, known in (("sampler", flags.sampler, SAMPLERS), ("scheduler", flags.scheduler, DISCRETIZATIONS)):
        for name in names:
            if name not in known and names != ("all",):
                raise SettingsError(f"There is no {what} {name!r}.", hint=f"Known are {', '.join(known)}; or all.")
        chosen.append(tuple(known) if names == ("all",) else names)
    return product(*chosen)


def _open(folders: Folders, store: ModelStore, name: str) -> tuple[Any, Any, Any]:
    """The parts of a checkpoint given by path or by name. Raises SettingsError, CheckpointError."""
    known = [file for file in folders.model_names("checkpoints") if name in (file, Path(file).stem)]
    path = Path(name) if Path(name).is_file() else None
    if path is None and known:
        path = folders.model_path("checkpoints", known[0])
    if path is None:
        raise SettingsError(
            f"There is no checkpoint {name!r}.",
            hint=f"Known are {', '.join(folders.model_names('checkpoints')) or 'none'}; a path works too.",
        )
    model, clip, vae = store.open_checkpoint(path)
    if model is None or clip is None or vae is None:
        raise SettingsError(f"{path.name} lacks a part.", hint="A whole checkpoint is needed: network, text and VAE.")
    return model, clip, vae


def _painted(
    parts: tuple[Any, Any, Any], asked: list[Question], flags: Any, guidance: float, sampler: str, scheduler: str
) -> Iterator[np.ndarray]:
    from engine.worker.painting import Painter, PaintSettings

    settings = PaintSettings(flags.steps, guidance, sampler, scheduler, flags.size)
    return Painter(*parts).paint([question.caption.text for question in asked], settings, flags.seed)


def _mean_psnr_db(vae: Any, asked: list[Question], size_px: int) -> float:
    import torch

    from engine.training.evaluation import psnr_db

    ratios = []
    for question in asked[:64]:
        picture = question.truth(size_px)
        kept = vae.decode(vae.encode(torch.from_numpy(picture).float()[None] / 255.0))[0]
        ratios.append(psnr_db(picture, (kept * 255.0).round().to(torch.uint8).numpy()))
    return sum(ratios) / len(ratios)


def _shown(pictures: Iterable[np.ndarray], line: ProgressLine, title: str, total: int) -> Iterator[np.ndarray]:
    """The pictures, with a progress line as they are taken."""
    started = time.monotonic()
    for number, picture in enumerate(pictures, start=1):
        line.show(f"{title}: {number}/{total}, {time.monotonic() - started:.0f} s")
        yield picture


def _save_grid(pictures: list[np.ndarray], path: Path, columns: int = 8) -> None:
    from PIL import Image

    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for number, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), (number % columns * width, number // columns * height))
    sheet.save(path)


def _plain(scores: Scores) -> dict[str, list[int]]:
    counts = {name: [score.num_met, score.num_made] for name, score in scores.attributes.items()}
    return {**counts, "everything": [scores.whole.num_met, scores.whole.num_made]}
