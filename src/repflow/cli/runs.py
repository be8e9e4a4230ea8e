"""repflow report, show, compare and doctor: commands that read."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from repflow.cli.arguments import parse
from repflow.cli.tell import tell
from repflow.core import BadSetting, local_path

FORMATS = ("pdf", "png")
WIDTH = 85.0
"""Millimetres of one column of two."""
_Place = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATH")]


@dataclass(frozen=True)
class Figures:
    """Figures for papers."""

    figures: bool = False
    """Also write every panel, figures/*.pdf and *.png, with captions.md and the tables as CSV and LaTeX."""
    formats: tuple[Literal["pdf", "png", "svg"], ...] = FORMATS
    """With --figures: pdf, png or svg, several at once."""
    only: str | None = None
    """With --figures: only the panel of this name."""
    variant: str | None = None
    """With --figures: this variant in place of each panel's first."""
    tokens: str | None = None
    """With --figures: this token policy in place of the first."""
    width_mm: float = WIDTH
    """With --figures: how wide a figure is; one column of two is 85, panels side by side take both."""


@dataclass(frozen=True)
class Report:
    """Write the HTML report of a run, and its figures for papers.

    Example: repflow report runs/tiny --figures --formats pdf
    """

    directory: _Place
    """A run directory, or zoo:training, the run that comes with the package."""
    out: Path | None = None
    """Another folder than the run's own for the report and figures; zoo:training goes to runs/zoo-training."""
    paper: Figures = field(default_factory=Figures)


@dataclass(frozen=True)
class Show:
    """Print a run's main numbers.

    Example: repflow show runs/tiny
    """

    directory: _Place
    """A run directory."""


@dataclass(frozen=True)
class Compare:
    """Set two runs side by side: what differs clearly, then every number both have, paired where the examples match.

    Example: repflow compare runs/tiny:mamba-tiny mamba2-tiny --html compared.html
    """

    a: _Place
    """A run directory, or DIR:SUBJECT, a subject of it; subjects may have their short names (mamba-tiny)."""
    b: _Place
    """Another, or a subject of the first."""
    subject_a: str | None = None
    """Only this subject of the first run; with --subject-b two subjects are compared, of one run too."""
    subject_b: str | None = None
    """Only this subject of the second run."""
    metric: str | None = None
    """Only this metric."""
    csv: Path | None = None
    """Write all rows to this CSV file instead of printing the differences."""
    html: Path | None = None
    """Write a page to this file: the headline, figures by depth, every row."""


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can run: versions, device, the kernels of every family, the metrics.

    Example: repflow doctor
    """


def report(arguments: list[str]) -> int:
    asked = parse(Report, "report", arguments)
    _refuse_idle(asked.paper)
    from repflow.report import write_figures, write_report
    from repflow.report.run import Run

    run = Run.load(asked.directory)
    shipped = run.directory != local_path(asked.directory)
    out = asked.out or (Path("runs") / asked.directory.replace(":", "-") if shipped else None)
    tell(write_report(run, out and out / "report.html"))
    paper = asked.paper
    if paper.figures:
        for path in write_figures(
            run,
            paper.formats,
            out and out / "figures",
            only=paper.only,
            variant=paper.variant,
            tokens=paper.tokens,
            width_mm=paper.width_mm,
        ):
            tell(path)
    return 0


def _refuse_idle(asked: Figures) -> None:
    """Raises BadSetting for a choice of figures where none are to be written."""
    given = [each.name for each in fields(Figures) if getattr(asked, each.name) != each.default]
    if given and not asked.figures:
        raise BadSetting(f"--{given[0].replace('_', '-')} is for figures; add --figures")


def show(arguments: list[str]) -> int:
    asked = parse(Show, "show", arguments)
    from repflow.report.run import Run
    from repflow.report.show import summary

    summary(Run.load(asked.directory))
    return 0


def compare(arguments: list[str]) -> int:
    asked = parse(Compare, "compare", arguments)
    from repflow.report.compared import compared, placed
    from repflow.report.comparison import print_comparison
    from repflow.store import csv_text, write_file

    first, own = placed(asked.a)
    second, others = placed(asked.b, first)
    subject_a, subject_b = asked.subject_a or own, asked.subject_b or others
    found = compared(first, second, metric=asked.metric, subject_a=subject_a, subject_b=subject_b)
    if asked.csv is None:
        print_comparison(found)
    if asked.html is not None:
        tell(found.write_html(asked.html))
    if asked.csv is not None:
        path = local_path(asked.csv)
        write_file(path, csv_text(found).encode(), elsewhere="choose another --csv", make_folders=False)
        tell(path)
    return 0


def doctor(arguments: list[str]) -> int:
    parse(Doctor, "doctor", arguments)
    from repflow.cli.doctor import examine

    examine()
    return 0
