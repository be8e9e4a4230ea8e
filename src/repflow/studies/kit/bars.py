"""A run's course as bars: in a terminal, and in a notebook."""

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from repflow.core import visible
from repflow.studies.kit.progress import Silent

if TYPE_CHECKING:
    from repflow.engines import Progress

OFF = "REPFLOW_PROGRESS"
"""The environment variable that turns bars off, in Python and in commands."""


def is_off() -> bool:
    """Whether nobody wants to see a run's course: REPFLOW_PROGRESS=0."""
    return os.environ.get(OFF, "").strip().lower() in ("0", "false", "no", "off")


@contextmanager
def shown(progress: "Progress | bool | None" = True) -> "Iterator[Progress]":
    """What a call from Python tells of its course to.

    True: bars where somebody looks, which is a notebook or a terminal, and nothing elsewhere. False: nothing. Anything
    else is told itself.
    """
    if isinstance(progress, bool) or progress is None:
        if progress and not is_off():
            with _bars() as bars:
                yield bars
        else:
            yield Silent()
        return
    yield progress


@contextmanager
def _bars() -> "Iterator[Progress]":
    if in_notebook():
        cells = Cells()
        try:
            yield cells
        finally:
            cells.close()
    elif in_terminal():
        with terminal_bars() as bars:
            yield bars
    else:
        yield Silent()


def in_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook: IPython is there already, and runs for a front end."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


@contextmanager
def terminal_bars() -> "Iterator[Bars]":
    """Bars on stderr, gone from the cursor's line at the end."""
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
    """One bar a job, in a terminal."""

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


class Cells:
    """One bar a job, below the cell of a notebook. Without ipywidgets it is drawn in characters."""

    def __init__(self) -> None:
        self._bar: Any = None

    def note(self, line: str) -> None:
        from tqdm import tqdm

        tqdm.write(visible(line), file=sys.stderr)

    def begin(self, title: str, total: int, unit: str = "example") -> None:
        with warnings.catch_warnings():
            # tqdm warns where ipywidgets is not there; the bar in characters does.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm

            self.close()
            self._bar = tqdm(desc=visible(title), total=total, unit=unit)

    def advance(self, done: int, tokens: int) -> None:
        del tokens
        self._bar.update(done)

    def close(self) -> None:
        """The last bar is done, or stays where it stood."""
        if self._bar is not None:
            self._bar.close()
