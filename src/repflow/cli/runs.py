"""repflow report, show, compare and doctor: commands that read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from repflow.cli.arguments import parse
from repflow.cli.tell import tell
from repflow.core import local_path

_Place = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATH")]


@dataclass(frozen=True)
class Report:
    """Write the HTML report of a run, and its figures for papers."""

    directory: _Place
    """A run directory, or zoo:training, the run that comes with the package."""
    figures: bool = False
    """Also write figures/*.pdf and *.png, and of a probe run its table as figures/probe_table.csv and .tex."""
    out: Path | None = None
    """Another folder than the run's own for the report and figures; zoo:training goes to runs/zoo-training."""


@dataclass(frozen=True)
class Show:
    """Print a run's main numbers."""

    directory: _Place
    """A run directory."""


@dataclass(frozen=True)
class Compare:
    """Set two runs side by side: every number both have, the difference, and its interval where it can be paired."""

    a: _Place
    """A run directory."""
    b: _Place
    """Another."""
    subject_a: str | None = None
    """Only this subject of the first run; with --subject-b two subjects are compared, of one run too."""
    subject_b: str | None = None
    """Only this subject of the second run."""
    metric: str | None = None
    """Only this metric."""
    csv: Path | None = None
    """Write all rows to this CSV file instead of printing the largest differences."""


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can run: versions, device, the kernels of every family, the metrics."""


def report(arguments: list[str]) -> int:
    asked = parse(Report, "report", arguments)
    from repflow.report import write_figures, write_report
    from repflow.report.run import Run

    run = Run.load(asked.directory)
    shipped = run.directory != local_path(asked.directory)
    out = asked.out or (Path("runs") / asked.directory.replace(":", "-") if shipped else None)
    tell(write_report(run, out and out / "report.html"))
    if asked.figures:
        for path in write_figures(run, directory=out and out / "figures"):
            tell(path)
    return 0


def show(arguments: list[str]) -> int:
    asked = parse(Show, "show", arguments)
    from repflow.report.run import Run
    from repflow.report.show import summary

    summary(Run.load(asked.directory))
    return 0


def compare(arguments: list[str]) -> int:
    asked = parse(Compare, "compare", arguments)
    from repflow.report.comparison import print_comparison
    from repflow.report.run import Run
    from repflow.store import compare as compared
    from repflow.store import csv_text, write_file

    found = compared(
        Run.load(asked.a), Run.load(asked.b), metric=asked.metric, subject_a=asked.subject_a, subject_b=asked.subject_b
    )
    if asked.csv is None:
        print_comparison(found)
    else:
        path = local_path(asked.csv)
        write_file(path, csv_text(found).encode(), elsewhere="choose another --csv", make_folders=False)
        tell(path)
    return 0


def doctor(arguments: list[str]) -> int:
    parse(Doctor, "doctor", arguments)
    from repflow.cli.doctor import examine

    examine()
    return 0
