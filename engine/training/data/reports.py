"""What was wrong with the data: every problem told once, counted, and never fatal while something is readable."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.core.errors import AtelierError

__all__ = ["DataError", "DataReports", "NothingReadable", "Problem", "ProblemKind", "UnreadableItem"]

_log = logging.getLogger(__name__)

ProblemKind = Literal["corrupt_picture", "missing_caption", "missing_class", "corrupt_shard", "corrupt_caption_file"]


class DataError(AtelierError):
    """A data set cannot be used at all: nothing readable, files missing, or a recipe that contradicts itself."""

    code = "bad_data"


class NothingReadable(DataError):
    """None of the items that were tried can be used; `problems` says why."""

    code = "nothing_readable"

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one file: `path` names it (a shard's member as "shard.tar/member"), `reason` says what."""

    kind: ProblemKind
    path: str
    reason: str


class UnreadableItem(Exception):
    """An item of a source cannot be used; the source takes another one and passes the problem on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.path}: {problem.reason}")
        self.problem = problem


class DataReports:
    """Collects problems in the main process. The same file with the same kind of problem counts once."""

    def __init__(self) -> None:
        self._problems: dict[tuple[ProblemKind, str], Problem] = {}

    def add(self, problem: Problem) -> None:
        """Log the problem if it is new."""
        key = (problem.kind, problem.path)
        if key not in self._problems:
            self._problems[key] = problem
            _log.warning("%s: %s (%s); left out", problem.path, problem.reason, problem.kind.replace("_", " "))

    def extend(self, problems: Iterable[Problem]) -> None:
        """`add` each."""
        for problem in problems:
            self.add(problem)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything reported so far, in order of appearance."""
        return tuple(self._problems.values())

    def counts(self) -> dict[str, int]:
        """Number of files by kind of problem, for the run's report."""
        counts: dict[str, int] = {}
        for problem in self._problems.values():
            counts[problem.kind] = counts.get(problem.kind, 0) + 1
        return counts
