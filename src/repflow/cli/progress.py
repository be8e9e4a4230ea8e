"""Progress on stderr: bars in a terminal, a plain line every 30 seconds elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from repflow.cli.tell import say
from repflow.studies.kit.bars import in_terminal, is_off, terminal_bars
from repflow.studies.kit.progress import Silent

if TYPE_CHECKING:
    from repflow.engines import Progress

EVERY = 30.0


@contextmanager
def watching() -> "Iterator[Progress]":
    """Progress fit for where stderr goes; none with REPFLOW_PROGRESS=0."""
    if is_off():
        yield Silent()
    elif not in_terminal():
        yield Lines()
    else:
        with terminal_bars() as bars:
            yield bars


class Lines:
    """Plain lines, for logs."""

    def __init__(self) -> None:
        self._title = ""
        self._unit = ""
        self._total = 0
        self._done = 0
        self._begun = 0.0
        self._last = time.monotonic()

    def note(self, line: str) -> None:
        say(line)

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        self._title, self._total, self._done = title, total, 0
        self._unit = unit if unit == "%" else f"{unit}s"
        self._begun = time.monotonic()
        if unit == "%":
            return
        self.note(f"{title}: {total} {unit if total == 1 else self._unit}")

    def advance(self, done: int, tokens: int) -> None:
        del tokens
        self._done += done
        now = time.monotonic()
        if now - self._last < EVERY and self._done < self._total:
            return
        self._last = now
        left = (now - self._begun) / self._done * (self._total - self._done)
        ends = "done" if self._done == self._total else f"about {left:,.0f} s left"
        self.note(f"{self._title}: {self._done}/{self._total} {self._unit}, {ends}")
