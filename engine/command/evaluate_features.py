"""`main.py evaluate CHECKPOINT --control|--inpaint|--refiner NAME`: how well what belongs to a checkpoint works."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.command.progress_line import ProgressLine
from engine.core.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np

    from engine.core.folders import Folders
    from engine.families.model_store import ModelStore
    from engine.training.evaluation import Question, Scores
    from engine.worker.painting import PaintSettings

__all__ = ["FeatureTables", "add_feature_flags"]


def add_feature_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that choose one of the tables here instead of that of prompts."""
    parser.add_argument("--control", metavar="NAME", help="measure how pictures follow this control")
    parser.add_argument("--strength", type=_numbers, default=(1.0,), help="of the control, one or several: 0.5,1")
    parser.add_argument("--span", type=_spans, default=((0.0, 1.0),), help="when it steers, one or several: 0:1,0:0.5")
    parser.add_argument("--inpaint", metavar="NAME", help="measure how this inpainting model fills holes")
    parser.add_argument("--refiner", metavar="NAME", help="measure what this refiner gains over the checkpoint")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _spans(text: str) -> tuple[tuple[float, float], ...]:
    spans = []
    for part in text.split(","):
        start, _, end = part.partition(":")
        spans.append((float(start), float(end or 1.0)))
    return tuple(spans)


@dataclass(frozen=True, slots=True)
class FeatureTables:
    """The tables that were asked for, over the same held-out scenes as that of prompts.

    store, folders: where models are opened and found. parts: MODEL, CLIP and VAE of the checkpoint. asked: scenes and
    their captions.
    """

    store: ModelStore
    folders: Folders
    flags: Any
    parts: tuple[Any, Any, Any]
    asked: Sequence[Question]
    line: ProgressLine

    def text(self, method: tuple[str, str]) -> str:
        """All of them in Markdown, made with this sampler and scheduler. Raises SettingsError, CheckpointError."""
        flags = self.flags
        made = [
            table(name, self._paint_settings(method))
            for name, table in (
                (flags.control, self._control),
                (flags.inpaint, self._inpainting),
                (flags.refiner, self._refiner),
            )
            if name
        ]
        self.line.close()
        return "\n\n".join(made)

    def _paint_settings(self, method: tuple[str, str]) -> PaintSettings:
        from engine.worker.painting import PaintSettings

        return PaintSettings(self.flags.steps, self.flags.guidance[0], *method, self.flags.size)

    def _control(self, name: str, settings: PaintSettings) -> str:
        """Agreement of pictures with what the control is shown of the scenes, without it and at every strength."""
        from engine.training.evaluation_controls import agreement, agreement_title, hint_of, trained_hint
        from engine.worker.painting import Painter, Steering

        path = self._file(name, ("controlnet",))
        recipe, handle = trained_hint(path), self.store.open_control(path)
        hints = [hint_of(recipe, question.truth(settings.size_px)) for question in self.asked]
        uses = {"without control": Steering(handle, hints, 0.0)}
        for strength in self.flags.strength:
            for start, end in self.flags.span:
                title = f"strength {strength:g}, from {start:g} to {end:g}"
                uses[title] = Steering(handle, hints, strength, start, end)
        rows: dict[str, Sequence[str]] = {}
        for title, steering in uses.items():
            made = Painter(*self.parts).paint(self._texts(), settings, self.flags.seed, steering=steering)
            found = [
                agreement(recipe, picture, hint) for picture, hint in zip(self._shown(made, title, len(hints)), hints)
            ]
            rows[title] = (f"{sum(found) / len(found):.3f}",)
        return _table((agreement_title(recipe),), rows)

    def _inpainting(self, name: str, settings: PaintSettings) -> str:
        """Filled holes: by the checkpoint under a mask alone, and by the inpainting model."""
        from engine.training.evaluation_inpainting import holes, score_fills
        from engine.training.postcards import BASE_EXCLUDED_KINDS, BASE_EXCLUDED_STYLES
        from engine.worker.painting import Painter

        model, clip, vae = self.parts
        filler = self.store.open_diffusion_model(self._file(name, ("diffusion_models", "checkpoints")))
        cut = holes(len(self.asked), exclude_styles=BASE_EXCLUDED_STYLES, exclude_kinds=BASE_EXCLUDED_KINDS)
        pictures = [hole.picture for hole in cut]
        kept = list(self._shown(_through(vae, pictures), "autoencoder", len(cut)))
        rows: dict[str, Sequence[str]] = {}
        for title, painter in (("mask alone", Painter(model, clip, vae)), (name, Painter(filler, clip, vae))):
            texts, masks = [hole.prompt for hole in cut], [hole.mask for hole in cut]
            made = painter.paint(texts, settings, self.flags.seed, pictures, masks)
            scores = score_fills(cut, self._shown(made, f"filling, {title}", len(cut)), kept)
            shares = (f"{100 * scores.kind.share:.1f}", f"{100 * scores.coloured.share:.1f}")
            rows[title] = (*shares, f"{scores.outside:.2f}", f"{scores.inside_db:.2f}")
        return _table(("object, %", "in its colour, %", "change outside, of 255", "PSNR within, dB"), rows)

    def _refiner(self, name: str, settings: PaintSettings) -> str:
        """Scenes noised to where the refiner begins and denoised in equal steps; prompts with and without it."""
        from engine.training.evaluation import format_table, mean_psnr_db, score_pictures
        from engine.worker.painting import Handover, Painter

        model, clip, vae = self.parts
        refiner = self.store.open_diffusion_model(self._file(name, ("diffusion_models", "checkpoints")))
        truths = [question.truth(settings.size_px) for question in self.asked]
        step = settings.steps // 2
        half = replace(settings, steps=settings.steps - step, denoise=0.5, guidance=1.0)
        kept = list(self._shown(_through(vae, truths), "autoencoder", len(truths)))
        restored: dict[str, Sequence[str]] = {}
        for title, chosen in (("the checkpoint", model), (name, refiner)):
            made = Painter(chosen, clip, vae).paint(self._texts(), half, self.flags.seed, truths)
            error = mean_psnr_db(self._shown(made, f"restoring, {title}", len(truths)), kept)
            restored[f"second half of the steps by {title}"] = (f"{error:.2f}",)
        rows: dict[str, Scores] = {}
        for title, handover in (("the checkpoint alone", None), (f"then {name}", Handover(refiner, step))):
            made = Painter(*self.parts, handover).paint(self._texts(), settings, self.flags.seed)
            rows[title] = score_pictures(list(self.asked), self._shown(made, title, len(truths)))
        return f"{_table(('PSNR of restored scenes, dB',), restored)}\n\n{format_table(rows)}"

    def _texts(self) -> list[str]:
        return [question.caption.text for question in self.asked]

    def _file(self, name: str, kinds: Sequence[str]) -> Path:
        """A file given by path or by name among these kinds of model. Raises SettingsError with those there are."""
        if Path(name).is_file():
            return Path(name)
        known = [(kind, file) for kind in kinds for file in self.folders.model_names(kind)]
        for kind, file in known:
            if name in (file, Path(file).stem):
                return self.folders.model_path(kind, file)
        raise SettingsError(
            f"There is no file {name!r} among {' and '.join(kinds)}.",
            hint=f"Known are {', '.join(file for _, file in known) or 'none'}; a path works too.",
        )

    def _shown(self, pictures: Iterable[np.ndarray], title: str, total: int) -> Iterator[np.ndarray]:
        started = time.monotonic()
        for number, picture in enumerate(pictures, start=1):
            self.line.show(f"{title}: {number}/{total}, {time.monotonic() - started:.0f} s")
            yield picture


def _through(vae: Any, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pictures uint8 [h w 3] through the autoencoder and back."""
    import torch

    for picture in pictures:
        kept = vae.decode(vae.encode(torch.from_numpy(picture).float()[None] / 255.0))[0]
        yield (kept * 255.0).round().clamp(0, 255).to(torch.uint8).numpy()


def _table(columns: Sequence[str], rows: dict[str, Sequence[str]]) -> str:
    """Markdown: a row a setting."""
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    return "\n".join([*lines, *(f"| {title} | " + " | ".join(values) + " |" for title, values in rows.items())])
