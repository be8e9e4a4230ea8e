"""Finished runs from Python: opened, and set side by side."""

from pathlib import Path
from typing import TYPE_CHECKING

from repflow.report.run import Run

if TYPE_CHECKING:
    from repflow.report.compared import Comparison


def open(directory: str | Path) -> Run:
    """Open a finished run directory. Raises BadFile when it is none, StoreConflict when it is unfinished."""
    return Run.load(directory)


def compare(
    a: Run, b: Run, *, metric: str | None = None, subject_a: str | None = None, subject_b: str | None = None
) -> "Comparison":
    """Rows that two runs share, their difference, and its paired interval where both read the same examples.

    With `subject_a` and `subject_b`, labels or short names, two subjects are set side by side, of one run
    (`compare(run, run, ...)`) or of two. The result is a pandas frame; a notebook shows its headline and figures, and
    `.write_html(path)` writes them as a page.
    """
    from repflow.report.compared import compared

    return compared(a, b, metric=metric, subject_a=subject_a, subject_b=subject_b)
