"""The table of a probe run: peak layer, peak, final and drop, for the report, as CSV and as LaTeX."""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd

from repflow.drawing.latex import latex
from repflow.drawing.source import Scene, Source, Subject, in_scene, where
from repflow.drawing.table import Group, Head, Heading, Line, Table, estimates, of_subject
from repflow.store import csv_text
from repflow.studies.probe.frames import Probes, told_position
from repflow.studies.probe.texts import percent
from repflow.studies.probe.verdicts import ABOVE, LEVEL

HEADINGS = (
    "peak layer", "peak (%)", "last block (%)", "final norm (%)", "drop (points)", "drop (%)", "length (%)",
    "capacity (%)",
)  # fmt: skip
_NUMBERS = ("peak", "last", "final_norm", "gap", "relative_gap", "length", "capacity")
Cell = tuple[str, str]
"""A value and what stands small below it."""


def probe_table(probes: Probes, position: str, target: str, subjects: Iterable[Subject]) -> Table:
    """One place of the prompt and one target, all tasks, contexts and subjects."""
    summary = where(probes.summary, position=position, target=target)
    held = [(scene, rows) for scene in probes.scenes if len(rows := in_scene(summary, scene))]
    groups = tuple(_group(scene, rows, tuple(subjects)) for scene, rows in held)
    return Table(("task", "subject"), tuple(map(Heading, HEADINGS)), groups)


def _group(scene: Scene, rows: pd.DataFrame, subjects: tuple[Subject, ...]) -> Group:
    lines = tuple(
        Line(estimates(*_cells(row)), of_subject(subject))
        for subject in subjects
        for _, row in where(rows, subject=subject.label).iterrows()
    )
    return Group(lines, Head(scene.title, f"chance {100 * rows['chance'].iloc[0]:.1f}%"))


def _cells(row: pd.Series) -> tuple[Cell, ...]:
    return (_place(row), *(percent(row[n], row[f"{n}_low"], row[f"{n}_high"]) for n in _NUMBERS))


def _place(row: pd.Series) -> Cell:
    """The peak and its interval, or why there is none."""
    if row["verdict"] != ABOVE:
        return "–", "no site is above chance" if row["verdict"] == LEVEL else "no interval"
    ends = row["peak_from"], row["peak_to"]
    return str(row["peak_site"]), f"{ends[0]} to {ends[1]}" if ends[0] != ends[1] else ""


def table_files(source: Source) -> dict[str, str]:
    """The table of all subjects, tasks, contexts and places by file name, beside the figures for papers."""
    probes: Probes | None = source.parts.get("probe")
    if probes is None:
        return {}
    shorts = {subject.label: subject.short for subject in source.subjects}
    return {"probe_table.csv": csv_table(probes), "probe_table.tex": latex_table(probes, shorts)}


def csv_table(probes: Probes) -> str:
    """All summaries, every column, full precision."""
    return csv_text(probes.summary)


def latex_table(probes: Probes, shorts: Mapping[str, str]) -> str:
    """The table for a paper, with booktabs; a line a subject, task, context, place and target."""
    kinds = ("Place", probes.positions, told_position), ("Target", probes.targets, str)
    several = [(title.lower(), told) for title, found, told in kinds if len(found) > 1]
    more = [title for title, found, _ in kinds if len(found) > 1]
    titles = ["Task", "Context", *more, "Subject", "Peak layer", "Peak", "Final", "Drop"]
    lines = [" & ".join(_latex_cells(row, shorts, several)) + r" \\" for _, row in probes.summary.iterrows()]
    head = [
        "% Accuracy of linear probes in percent: at the peak, after the last block, and the difference in points.",
        "% No peak: no site is above chance, its interval corrected for choosing the best site.",
        rf"\begin{{tabular}}{{{'l' * (len(titles) - 3)}rrr}}",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
    ]
    return "\n".join([*head, *lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_cells(
    row: pd.Series, shorts: Mapping[str, str], several: Iterable[tuple[str, Callable[[str], str]]]
) -> list[str]:
    place = [told(row["position" if column == "place" else column]) for column, told in several]
    peak, none = _place(row)
    peak = none if row["verdict"] != ABOVE else peak
    names = [row["task"], f"{row['context']:,}", *place, shorts[row["subject"]], peak]
    return [*map(latex, names), *(percent(row[n], None, None)[0].replace("–", "--") for n in ("peak", "last", "gap"))]
