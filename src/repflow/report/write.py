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
    from repflow.report import html as _html

    with making_sense(run):
        return _html.write(run, None if path is None else local_path(path))


def write_figures(run: Any, formats: Sequence[str] = ("pdf", "png"), directory: Path | str | None = None) -> list[Path]:
    """Write figures for papers (vector pdf, svg; png at 300 dpi) to `figures/` in the run directory.

    One file a figure, scene and format; of a probe run also its table, probe_table.csv with every column and
    probe_table.tex for a paper. The same run gives the same bytes. Raises BadSetting on another
    format and BadFile when the folder cannot be written.
    """
    from repflow.report import files as _papers

    with making_sense(run):
        return _papers.write(run, tuple(formats), None if directory is None else local_path(directory))
