"""The progress of several runs as one."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from repflow.studies.kit.progress import told_time

if TYPE_CHECKING:
    from repflow.engines import Progress

_STEPS = 100


class Whole:
    """Hands the course of the runs inside a run on as one course, from 0 to 100%.

    How much of the work a run is, was guessed before; within it, tokens read count against those expected.
    """

    def __init__(self, progress: "Progress", work: Mapping[str, float]) -> None:
        """`work`: by run, the tokens it is expected to pass through models; those of runs that are there are 0."""
        self._progress = progress
        self._work = work
        self._whole = sum(work.values()) or 1.0
        self._before = 0.0
        self._part, self._read, self._told = "", 0.0, 0
        self._begun = time.monotonic()
        progress.begin("paper", _STEPS, "%")

    def start(self, part: str) -> None:
        """A run begins; those before it are done."""
        self.finish()
        self._part, self._read = part, 0.0
        place = list(self._work).index(part) + 1
        self._progress.note(f"{place} of {len(self._work)}: {part}{self._left()}")

    def finish(self) -> None:
        """The run that was begun is done."""
        self._before += self._work.get(self._part, 0.0)
        self._part = ""
        self._tell(self._before)

    def note(self, line: str) -> None:
        self._progress.note(line)

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        """A job inside a run: told to nobody, the whole has its own course."""
        del title, total, unit

    def advance(self, done: int, tokens: int) -> None:
        del done
        self._read += tokens
        self._tell(self._before + min(self._read, self._work.get(self._part, 0.0)))

    def _tell(self, done: float) -> None:
        place = int(_STEPS * min(done / self._whole, 1.0))
        if place > self._told:
            self._progress.advance(place - self._told, 0)
            self._told = place

    def _left(self) -> str:
        """The time left in words, once something is known of it."""
        share = self._told / _STEPS
        if share < 0.02:
            return ""
        passed = time.monotonic() - self._begun
        return f", about {told_time(passed * (1 - share) / share)} left in all"
