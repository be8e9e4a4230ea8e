"""The two things the report package writes. Plotting packages load on the first call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repflow.core import local_path
from repflow.store import making_sense


def write_report(run: Any, path: Path | str | None = None) -> Path:
    """Write a run's report: one HTML file that opens offline, `report.html` in the run directory by default.

    `run` has `layers`, `pairs`, `paths` (frames), `info` (run.json), `findings` and `directory`; any of the frames may
    be empty. Raises BadFile when the file cannot be written.
    """
    from repflow.report import html

    with making_sense(run):
        return html.write(run, None if path is None else local_path(path))


def write_figures(
    run: Any,
    formats: Sequence[str] = ("pdf", "png"),
    directory: Path | str | None = None,
    *,
    only: str | None = None,
    variant: str | None = None,
    tokens: str | None = None,
    width_mm: float = 85.0,
) -> list[Path]:
    """Write the page's figures for papers (vector pdf, svg; png at 300 dpi) to `figures/` in the run directory.

    Every panel under its first variant and token policy, or under those named; `only` one panel by its name.
    `width_mm`: of a figure, 85 for one column of two; panels side by side take both, 178. captions.md says of each what
    it shows, of which tokens and on how many units. With them come the run's tables for papers, as CSV and LaTeX.

    The same run gives the same bytes. Returns the paths. Raises BadSetting for another format or an impossible width,
    UnknownName for a panel, variant or policy that the run has not, BadFile when the folder cannot be written.
    """
    from repflow.report import files

    with making_sense(run):
        wanted = files.Wanted(only, variant, tokens, width_mm)
        return files.write(run, tuple(formats), None if directory is None else local_path(directory), wanted)
