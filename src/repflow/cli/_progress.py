"""Progress on stderr: bars in a terminal, a plain line every 30 seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
        self._bar.console.print(line, highlight=False, markup=False)

    def begin(self, title: str, examples: int) -> None:
        from rich.markup import escape

        self._task = self._bar.add_task(escape(title), total=examples, speed="")
        self._tokens, self._begun = 0, time.monotonic()

    def advance(self, examples: int, tokens: int) -> None:
        self._tokens += tokens
        speed = self._tokens / max(time.monotonic() - self._begun, 1e-9)
        self._bar.update(self._task, advance=examples, speed=f"{speed:,.0f} tokens/s")


class Lines:
    """Plain lines, for logs."""

    def __init__(self) -> None:
        self._title = ""
        self._total = 0
        self._done = 0
        self._begun = 0.0
        self._last = time.monotonic()

    def note(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def begin(self, title: str, examples: int) -> None:
        self._title, self._total, self._done = title, examples, 0
        self._begun = time.monotonic()
        self.note(f"{title}: {examples} example{'' if examples == 1 else 's'}")

    def advance(self, examples: int, tokens: int) -> None:
        del tokens
        self._done += examples
        now = time.monotonic()
        if now - self._last < EVERY and self._done < self._total:
            return
        self._last = now
        left = (now - self._begun) / self._done * (self._total - self._done)
        ends = "done" if self._done == self._total else f"about {left:,.0f} s left"
        self.note(f"{self._title}: {self._done}/{self._total} examples, {ends}")
