"""Progress on stderr: bars in a terminal, a plain line every 30 seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from repflow.cli.tell import say
from repflow.core import visible

if TYPE_CHECKING:
    from repflow.engines import Progress

EVERY = 30.0


@contextmanager
def watching() -> "Iterator[Progress]":
    """Progress fit for where stderr goes."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        yield Bars(bar)


class Bars:
    """One bar a job."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None
        self._tokens = 0
        self._begun = 0.0

    def note(self, line: str) -> None:
        self._bar.console.print(visible(line), highlight=False, markup=False)

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        from rich.markup import escape

        del unit
        self._task = self._bar.add_task(escape(visible(title)), total=total, speed="")
        self._tokens, self._begun = 0, time.monotonic()

    def advance(self, done: int, tokens: int) -> None:
        self._tokens += tokens
        speed = self._tokens / max(time.monotonic() - self._begun, 1e-9)
        self._bar.update(self._task, advance=done, speed=f"{speed:,.0f} tokens/s" if self._tokens else "")


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
        self._title, self._unit, self._total, self._done = title, f"{unit}s", total, 0
        self._begun = time.monotonic()
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
