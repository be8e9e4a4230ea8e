"""The table of an attribution run: trained value, difference, share under each scheme, and the verdict."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from repflow.drawing.labels import estimate
from repflow.drawing.source import Source, Subject
from repflow.drawing.table import Group, Head, Heading, Line, Table, TableCell, of_subject
from repflow.studies.attribute.figures import TRAINED
from repflow.studies.attribute.frames import OWN, Attribution, Cell, of_cell, verdicts

FILLS = {"architecture": "#d7e7f5", "reduced by training": "#e3efdc", "training": "#fce3d0", "mixed": "#ece4f2"}
"""The colour behind a decided verdict."""


def share_table(source: Source, found: Attribution, cell: Cell) -> Table:
    """All subjects of one task, context, variant and policy; trainings taken together first."""
    rows = of_cell(found.shares, cell)
    subjects = (*pools(source, rows), *source.subjects)
    groups = ((s, tuple(_lines(source, found, cell, rows[rows["subject"] == s.label], s))) for s in subjects)
    names = ("trained", "random − trained", *(f"share, {name}" for name in found.names))
    headings = (*map(Heading, names), Heading("verdict", words=True))
    return Table(("subject", "third"), headings, tuple(Group(lines, _head(source, s)) for s, lines in groups if lines))


def pools(source: Source, rows: pd.DataFrame) -> tuple[Subject, ...]:
    """What rows tell of that is no subject of the run: several trainings taken together."""
    known = {subject.label for subject in source.subjects}
    labels = [str(label) for label in rows["subject"].unique() if str(label) not in known]
    return tuple(Subject(label, label, "other", {}, TRAINED) for label in labels)


def _head(source: Source, subject: Subject) -> Head:
    """A subject's, or that of trainings taken together, which have no mark."""
    return of_subject(subject) if subject in source.subjects else Head(subject.short, full=subject.label)


def _lines(source: Source, found: Attribution, cell: Cell, rows: pd.DataFrame, subject: Subject) -> Iterator[Line]:
    told = {third: (verdict, reason) for third, verdict, reason in verdicts(source.findings, cell, subject.label)}
    for third, mine in rows.groupby("third", sort=False):
        shown = {str(row["scheme"]): row for row in mine.to_dict("records")}
        verdict, reason = told.get(str(third), ("", ""))
        first = next(iter(shown.values()))
        trained = TableCell(*estimate(first["trained"], first["trained_low"], first["trained_high"]))
        shares = (_share(shown.get(name)) for name in found.names)
        last = TableCell(verdict, reason, fill=FILLS.get(verdict, ""), words=True)
        yield Line((trained, _difference(shown.get(OWN)), *shares, last), Head(str(third)))


def _difference(row: dict[Any, Any] | None) -> TableCell:
    """Under the scheme that decides; strong where the interval leaves out 0."""
    if row is None or pd.isna(row["difference"]):
        return TableCell("–", hint=f"no draw of {OWN}")
    value, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    limits = "" if pd.isna(low) or pd.isna(high) else f"[{low:+.3f}, {high:+.3f}]".replace("-", "−")
    return TableCell(f"{value:+.3f}".replace("-", "−"), limits, f"{row['seeds']} draws of {OWN}")


def _share(row: dict[Any, Any] | None) -> TableCell:
    if row is None:
        return TableCell("–", hint="left out")
    hint = f"{row['verdict']}{': ' if row['reason'] else ''}{row['reason']}"
    if not pd.isna(row["p_holm"]):
        hint += f"; p {row['p']:.2g}, corrected for {row['family_size']:.0f} {row['p_holm']:.2g}"
    value, low, high = (row[f"share{end}"] for end in ("", "_low", "_high"))
    limits = "" if pd.isna(low) or pd.isna(high) else f"[{low:.2f}, {high:.2f}]".replace("inf", "∞")
    text = "–" if pd.isna(value) else f"{value:.2f}"
    return TableCell(text, limits, hint, FILLS.get(str(row["verdict"]), ""))
