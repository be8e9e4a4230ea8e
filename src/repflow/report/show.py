"""A run in a screenful: what was measured, and the headline numbers of each subject."""

import io
import shlex
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from repflow.drawing.labels import short_labels
from repflow.drawing.rich import cell, plain_table, words
from repflow.report.answers import first_screen, studies_of
from repflow.report.reading import read_all
from repflow.report.run import Run
from repflow.store import Run as StoredRun
from repflow.store import making_sense, name_of, told_units, warning_lines
from repflow.studies import catalogue
from repflow.studies.kit.study import Shown

_POLICIES = ("no_sink", "all")


def summary(run: StoredRun, *, console: Console | None = None) -> None:
    """Print a run for a terminal of 80 columns or more, or a file: subjects, headline numbers, warnings, the report.

    Reads the stored rows only. Numbers a study did not measure are left out.
    """
    out, run = console or Console(), Run.of(run)
    # What cannot be read to its end is not begun.
    with making_sense(run), out.capture() as shown:
        print_summary(run, console=out)
    out.print(Text.from_ansi(shown.get().removesuffix("\n")), soft_wrap=True)


def summary_html(run: StoredRun) -> str:
    """The same for notebooks, as HTML."""
    run, out = Run.of(run), Console(record=True, file=io.StringIO(), width=100, force_jupyter=False)
    with making_sense(run):
        print_summary(run, console=out)
    return out.export_html(inline_styles=True, code_format=_PRE)


_PRE = '<pre style="line-height: 1.25; overflow-x: auto">{code}</pre>'


def print_summary(run: Run, *, console: Console | None = None) -> None:
    """See `summary`."""
    out = console or Console()
    out.print(words(f"{run.info['command']} run in {name_of(run.directory)}", style="bold"), soft_wrap=True)
    own = [subject for subject in run.subjects if not subject.get("variant_of")]
    out.print(_subjects(own))
    if len(own) < len(run.subjects):
        out.print(words(f"and {len(run.subjects) - len(own)} more, variants of these", style="dim"))
    shown = Shown(own, _policy(run), _names(run))
    studies = studies_of(run.info)
    main, more = first_screen(read_all(run))
    for answer in main if run.parts else [*main, *more]:
        out.print(words(answer.headline, style="bold") + words(f": {answer.evidence}"))
        if answer.small:
            out.print(words(answer.small, style="dim"))
        if answer.next:
            out.print(words(f"  next: {answer.next}", style="dim"), soft_wrap=True)
    for study in studies:
        study.show(run, shown, out)
    for line in told_units(run.info):
        out.print(words(line, style="dim"))
    told = frozenset[str]().union(*(study.told for study in catalogue.STUDIES))
    for finding in run.findings:
        if finding.get("id") not in told:
            out.print(words(_finding(finding)))
    for warning in warning_lines(run.info):
        out.print(words(f"warning: {warning}", style="yellow"))
    where = (
        f"report: {run.report}"
        if run.report
        else f"no report yet: repflow report {shlex.quote(name_of(run.directory))}"
    )
    out.print(words(where), soft_wrap=True)


def _subjects(subjects: list[dict[str, Any]]) -> Table:
    table = plain_table(None)
    table.add_column("subject", overflow="fold", ratio=1)
    for name in ("kind", "init", "blocks", "width", "params"):
        table.add_column(name, justify="left" if name in ("kind", "init") else "right", overflow="fold")
    for subject in subjects:
        names = ("label", "kind", "init", "n_blocks", "width")
        facts = {name: subject.get(name, "-") for name in names}
        if subject.get("retrieves") is False:
            facts["init"] = f"{facts['init']}, does not retrieve"
        cells = [cell(facts[name]) for name in names]
        table.add_row(*cells, cell(_count(subject.get("n_parameters"))))
    return table


def _names(run: Run) -> dict[str, str]:
    """What each subject is called, by its label."""
    labels = [str(subject.get("label")) for subject in run.subjects]
    return dict(zip(labels, short_labels(labels), strict=True))


def _count(value: Any) -> str:
    if not isinstance(value, int):
        return "-"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return str(value)


def _policy(run: Run) -> str | None:
    measured = [*run.layers["tokens"].unique(), *run.paths["tokens"].unique()]
    return next((name for name in (*_POLICIES, *measured) if name in measured), None)


def _finding(finding: dict[str, Any]) -> str:
    parts = [finding.get(name) for name in ("id", "subject", "verdict", "claim")]
    return "finding: " + ", ".join(str(part) for part in parts if part)
