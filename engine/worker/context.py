"""`engine.api.Context` of one node call: progress, pictures, files and paths."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from engine.api import ModelLibrary, Training
from engine.core.containment import resolve_inside
from engine.core.errors import AtelierError, ContainmentError, NodeError
from engine.core.folders import Folders, split_annotation
from engine.execution.instructions import NodePlace
from engine.protocol.messages import PlacedFile, Preview, StagedFile
from engine.worker.job import RunningJob
from engine.worker.lanes import ThreadLane
from engine.worker.pictures import encode_jpeg, encode_png
from engine.worker.progress import Gate, ProgressMeter
from engine.worker.staging import checked_prefix, expand_tokens, stage_bytes, stage_file
from engine.worker.training import WorkerTraining

__all__ = ["NodeContext", "NodeSurroundings", "RunVoice"]

_PREVIEW_INTERVAL_S = 0.25

PreviewSource = torch.Tensor | Callable[[], "torch.Tensor | None"]
"""A picture [h w c], or what makes one when it is going to be shown."""


@dataclass(frozen=True, slots=True)
class NodeSurroundings:
    """What every node call of a worker has around it.

    `models` gives the model library; `take_held` the most bytes a forward of the calling thread held since it was last
    asked; `wall_clock` seconds since 1970, for the tokens of file names.
    """

    folders: Folders
    models: Callable[[], ModelLibrary]
    pictures: ThreadLane
    metadata_policy: str = "full"
    preview_size_px: int = 512
    take_held: Callable[[], int] = int
    wall_clock: Callable[[], float] = time.time


class RunVoice:
    """How one run of a node speaks to the outside: thinned progress, previews, texts and warnings. Any thread."""

    def __init__(self, job: RunningJob, place: NodePlace, surroundings: NodeSurroundings) -> None:
        self._job = job
        self._place = place
        self._surroundings = surroundings
        self._meter = ProgressMeter(self._send_progress)
        self._preview_gate = Gate(_PREVIEW_INTERVAL_S)
        self._is_looking = False
        self.has_pictures = False

    def progress(self, value: float, maximum: float) -> None:
        """Report progress, now or with the next flush."""
        self._meter.report(value, maximum)

    def flush(self) -> None:
        """Send the progress that waits."""
        self._meter.flush()

    def preview(self, image: PreviewSource) -> None:
        """Send a small JPEG unless one was sent just now, or is still being made; made and encoded elsewhere."""
        if self._job.lease.preview_method == "none" or self._is_looking or not self._preview_gate.opens():
            return

        def encode() -> bytes | None:
            try:
                made = image() if callable(image) else image
                return None if made is None else encode_jpeg(made, self._surroundings.preview_size_px)
            finally:
                self._is_looking = False

        _require_picture(image)
        self._is_looking = True
        self._send_picture("image/jpeg", encode)

    def full_picture(self, image: torch.Tensor) -> None:
        """Send a PNG, always; encoded elsewhere, in order."""
        _require_picture(image)
        self._send_picture("image/png", lambda: encode_png(image))

    def text(self, text: str) -> None:
        """Show a line on the node."""
        self._job.report("node_text", {"node": self._place.node, "text": str(text)})

    def warn(self, message: str) -> None:
        """Record a warning."""
        self._job.report("warning", {"node": self._place.node, "message": str(message)})

    def _send_progress(self, value: float, maximum: float) -> None:
        place = self._place
        data = {"node": place.node, "display": place.display, "parent": place.parent, "real": place.real}
        self._job.report("node_progress", {**data, "value": value, "max": maximum})

    def _send_picture(self, media_type: str, encode: Callable[[], bytes | None]) -> None:
        job, place = self._job, self._place

        def work() -> None:
            try:
                data = encode()
            except AtelierError as error:
                self.warn(f"A picture could not be shown: {error.message}")
                return
            except Exception as error:  # noqa: BLE001 - a picture that cannot be shown must not end the worker
                self.warn(f"A picture could not be shown: {error}")
                return
            if data is None:
                return
            lease = job.lease
            job.send(
                Preview(lease.job, lease.epoch, place.node, place.display, place.parent, place.real, media_type, data)
            )

        self.has_pictures = True
        self._surroundings.pictures.submit(work)


@dataclass(slots=True)
class NodeContext:
    """The context of one call. `call_index` is its list item's number; `staged` collects the files it saved.

    `place_files` gives files their visible names at once; None where calls of the node may overlap.
    """

    job: RunningJob
    place: NodePlace
    voice: RunVoice
    surroundings: NodeSurroundings
    call_index: int = 0
    place_files: Callable[[Sequence[StagedFile]], list[PlacedFile]] | None = None
    staged: list[StagedFile] = field(default_factory=list)

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def node_id(self) -> str:
        """The node's id; a generated node's own."""
        return self.place.node

    @property
    def client_id(self) -> str | None:
        """Who submitted the job, or None."""
        return self.job.lease.client_id

    @property
    def models(self) -> ModelLibrary:
        """Opens weight files."""
        return self.surroundings.models()

    @property
    def training(self) -> Training:
        """Trains LoRAs."""
        return WorkerTraining()

    @property
    def metadata_enabled(self) -> bool:
        """Whether files may carry prompt and workflow."""
        return self.metadata_policy == "full"

    @property
    def metadata_policy(self) -> str:
        """What pictures may tell of how they were made."""
        return self.surroundings.metadata_policy

    @property
    def preview_method(self) -> str:
        """How previews of the job are made."""
        return self.job.lease.preview_method

    def check_cancelled(self) -> None:
        """Raise Cancelled when the job is to stop."""
        self.job.check_cancelled(self.place.node)

    def progress(self, value: float, maximum: float, preview: PreviewSource | None = None) -> None:
        """Report progress; also checks for cancellation."""
        self.check_cancelled()
        self.voice.progress(float(value), float(maximum))
        if preview is not None:
            self.voice.preview(preview)

    def send_image(self, image: torch.Tensor, index: int, total: int) -> None:
        """Send a full-size image to the client's socket as PNG, and progress `index` of `total`."""
        self.check_cancelled()
        self.voice.progress(float(index), float(total))
        self.voice.full_picture(image)

    def text(self, text: str) -> None:
        """Show a line of text on the node."""
        self.voice.text(text)

    def warn(self, message: str) -> None:
        """Record a warning in the job's log."""
        self.voice.warn(message)

    def model_path(self, folder: str, name: str) -> Path:
        """The weight file called `name`. Raises NodeError naming the folder when it is missing."""
        try:
            return self.surroundings.folders.model_path(folder, name)
        except AtelierError as error:
            raise NodeError(error.message, code=error.code, hint=error.hint) from error

    def input_path(self, name: str) -> Path:
        """The contained path of a working-folder file. Raises NodeError when it escapes or is missing."""
        bare, kind = split_annotation(name)
        try:
            path = resolve_inside(self.surroundings.folders.root(kind), bare)
        except ContainmentError as error:
            raise NodeError(error.message, code=error.code, hint=error.hint) from error
        if not path.exists():
            raise NodeError(
                f"There is no file {bare!r} in the {kind} folder.",
                code="not_found",
                hint=f"Put it into the {kind} folder.",
            )
        return path

    def save_file(
        self,
        data: bytes | Callable[[Path], None],
        *,
        prefix: str,
        extension: str,
        media_type: str,
        folder: Literal["output", "temp"] = "output",
        ui_key: str = "images",
        numbered: bool = True,
        width_px: int = 0,
        height_px: int = 0,
        batch_number: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Stage a finished file; see `engine.api.Context`. Raises NodeError for a prefix that leaves the folder."""
        if folder not in ("output", "temp"):
            raise NodeError(f"Files are saved to output or temp, not {folder!r}.", code="bad_file_name")
        self.check_cancelled()
        folders = self.surroundings.folders
        now = time.localtime(self.surroundings.wall_clock())
        named = expand_tokens(prefix, width_px=width_px, height_px=height_px, batch_number=batch_number, now=now)
        plain = checked_prefix(folders.root(folder), named)
        extension = extension.removeprefix(".").lower()
        staging = folders.data / "staging"
        if callable(data):
            staged, size_bytes = stage_file(staging, data, extension)
        else:
            staged, size_bytes = stage_bytes(staging, bytes(data), extension), len(data)
        self.staged.append(
            StagedFile(
                staged=staged,
                size_bytes=size_bytes,
                media_type=media_type,
                folder=folder,
                prefix=plain,
                extension=extension,
                ordinal=len(self.staged),
                numbered=numbered,
                ui_key=ui_key,
                extra=dict(extra or {}),
                width_px=int(width_px),
                height_px=int(height_px),
            )
        )

    def commit_files(self, count: int) -> list[dict[str, Any]]:
        """Give the last `count` saved files their visible names now, and wait for it; their entries for a UI output.

        The node reports these files itself: they are not added to its UI output. Raises NodeError where `place_files`
        is None, Cancelled when the job is to stop meanwhile.
        """
        if self.place_files is None:
            raise NodeError("Files of this node get their names when it has ended.", code="cannot_commit")
        if not count:
            return []
        files = self.staged[-count:]
        placed = self.place_files(files)
        del self.staged[-count:]
        return [
            {"filename": file.filename, "subfolder": file.subfolder, "type": file.type, **staged.extra}
            for file, staged in zip(placed, files)
        ]


def _require_picture(image: Any) -> None:
    if not isinstance(image, torch.Tensor) and not callable(image):
        raise NodeError(f"A preview must be a tensor [h w c], not {type(image).__name__}.", code="bad_picture")
