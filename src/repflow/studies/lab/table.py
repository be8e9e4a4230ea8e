"""Tables of a lab: groups by outcome, contrasts, slopes."""

from collections.abc import Sequence

import pandas as pd

from repflow.drawing.labels import estimate
from repflow.drawing.table import Group as Lines
from repflow.drawing.table import Head, Heading, Line, Table, TableCell, estimates
from repflow.studies.lab.frames import Group, Lab
from repflow.studies.lab.outcomes import OUTCOMES

RETRIEVAL = ("kvpr 256", "kvpr 512", "kvpr 256, over training", "text 256")
FLOW = ("early, raw", "late, raw", "early, centred", "late, centred", "v_loc", "v_glob")


def groups_table(lab: Lab, outcomes: Sequence[str]) -> Table:
    """A line a group; what it did not measure is an en dash."""
    shown = [name for name in outcomes if (lab.summary["outcome"] == name).any()]
    headings = tuple(Heading(_heading(name), f"{OUTCOMES[name].title}: {OUTCOMES[name].unit}") for name in shown)
    lines = tuple(Line(estimates(*(_cell(lab, group, name) for name in shown)), _head(group)) for group in lab.groups)
    return Table(("group",), headings, (Lines(lines),))


def _heading(name: str) -> str:
    about = OUTCOMES[name]
    return f"{about.title}, {about.unit}"


def _head(group: Group) -> Head:
    return Head(group.name, full=group.about, style=group.style)


def _cell(lab: Lab, group: Group, outcome: str) -> tuple[str, str]:
    rows = lab.summary
    rows = rows[
        (rows["architecture"] == group.architecture) & (rows["loss"] == group.loss) & (rows["outcome"] == outcome)
    ]
    if rows.empty:
        return "–", ""
    row = rows.iloc[0]
    value, limits = estimate(row["mean"], row["ci_low"], row["ci_high"])
    trainings = int(row["trainings"])
    return value, " ".join(filter(None, (limits, f"n {trainings}")))


def contrasts_table(lab: Lab, outcomes: Sequence[str]) -> Table:
    """A line a contrast's group; what is not clear is faint."""
    shown = [name for name in outcomes if (lab.contrasts["outcome"] == name).any()]
    rows = lab.contrasts
    lines: list[Line] = []
    for group in lab.groups:
        mine = rows[(rows["architecture"] == group.architecture) & (rows["loss"] == group.loss)]
        if len(mine):
            lines.append(Line(tuple(_difference(mine, name) for name in shown), _head(group)))
    headings = tuple(Heading(_heading(name), OUTCOMES[name].title) for name in shown)
    return Table(("group",), headings, (Lines(tuple(lines)),))


def _difference(rows: pd.DataFrame, outcome: str) -> TableCell:
    rows = rows[rows["outcome"] == outcome]
    if rows.empty:
        return TableCell("–")
    row = rows.iloc[0]
    value, limits = estimate(row["difference"], row["ci_low"], row["ci_high"])
    clear = row["ci_low"] > 0 or row["ci_high"] < 0
    return TableCell(value, f"{limits} {'clear' if clear else 'not clear'}", faint=not clear)


def slopes_table(lab: Lab, groups: Sequence[tuple[str, bool, str]], outcomes: Sequence[str]) -> Table:
    """A line a family, size and state of training."""
    lines: list[Line] = []
    for family, trained, factor in groups:
        rows = lab.slopes
        mine = rows[(rows["family"] == family) & (rows["trained"] == trained) & (rows["factor"] == factor)]
        style = next(group.style for group in lab.groups if group.about.startswith(f"{family},"))
        first = mine.iloc[0]
        told = f"{family}, {factor} {first['levels']}, {'trained' if trained else 'as drawn'}, {first['models']} models"
        lines.append(Line(estimates(*(_slope(mine, name) for name in outcomes)), Head(told, style=style)))
    headings = tuple(Heading(_heading(n), f"Change when the size doubles: {OUTCOMES[n].title}") for n in outcomes)
    return Table(("models",), headings, (Lines(tuple(lines)),))


def _slope(rows: pd.DataFrame, outcome: str) -> tuple[str, str]:
    rows = rows[rows["outcome"] == outcome]
    return estimate(*rows.iloc[0][["slope", "ci_low", "ci_high"]]) if len(rows) else ("–", "")
