"""The table of an attribution run: trained value, difference, share under each scheme, and the verdict."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from repflow.drawing.labels import estimate
from repflow.drawing.source import Source, Subject
from repflow.studies.attribute.figures import TRAINED
from repflow.studies.attribute.frames import OWN, Attribution, Cell, of_cell, verdicts

FILLS = {"architecture": "#d7e7f5", "reduced by training": "#e3efdc", "training": "#fce3d0", "mixed": "#ece4f2"}
"""The colour behind a decided verdict."""


@dataclass(frozen=True, slots=True)
class ShareCell:
    text: str
    small: str
    fill: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ShareTable:
    """Headings, and for every subject its lines of (third, cells)."""

    headings: tuple[str, ...]
    groups: tuple[tuple[Subject, tuple[tuple[str, tuple[ShareCell, ...]], ...]], ...]


def share_table(source: Source, found: Attribution, cell: Cell) -> ShareTable:
    """All subjects of one task, context, variant and policy; trainings taken together first."""
    rows = of_cell(found.shares, cell)
    subjects = (*pools(source, rows), *source.subjects)
    groups = ((s, tuple(_lines(source, found, cell, rows[rows["subject"] == s.label], s))) for s in subjects)
    headings = ("trained", "random − trained", *(f"share, {name}" for name in found.names), "verdict")
    return ShareTable(headings, tuple((s, lines) for s, lines in groups if lines))


def pools(source: Source, rows: pd.DataFrame) -> tuple[Subject, ...]:
    """What rows tell of that is no subject of the run: several trainings taken together."""
    known = {subject.label for subject in source.subjects}
    labels = [str(label) for label in rows["subject"].unique() if str(label) not in known]
    return tuple(Subject(label, label, "other", {}, TRAINED) for label in labels)


def _lines(
    source: Source, found: Attribution, cell: Cell, rows: pd.DataFrame, subject: Subject
) -> Iterator[tuple[str, tuple[ShareCell, ...]]]:
    told = {third: (verdict, reason) for third, verdict, reason in verdicts(source.findings, cell, subject.label)}
    for third, mine in rows.groupby("third", sort=False):
        shown = {str(row["scheme"]): row for row in mine.to_dict("records")}
        verdict, reason = told.get(str(third), ("", ""))
        first = next(iter(shown.values()))
        trained = ShareCell(*estimate(first["trained"], first["trained_low"], first["trained_high"]), "")
        shares = (_share(shown.get(name)) for name in found.names)
        last = ShareCell(verdict, reason, FILLS.get(verdict, ""))
        yield str(third), (trained, _difference(shown.get(OWN)), *shares, last)


def _difference(row: dict[Any, Any] | None) -> ShareCell:
    """Under the scheme that decides; strong where the interval leaves out 0."""
    if row is None or pd.isna(row["difference"]):
        return ShareCell("–", "", "", f"no draw of {OWN}")
    value, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    limits = "" if pd.isna(low) or pd.isna(high) else f"[{low:+.3f}, {high:+.3f}]".replace("-", "−")
    return ShareCell(f"{value:+.3f}".replace("-", "−"), limits, "", f"{row['seeds']} draws of {OWN}")


def _share(row: dict[Any, Any] | None) -> ShareCell:
    if row is None:
        return ShareCell("–", "", "", "left out")
    hint = f"{row['verdict']}{': ' if row['reason'] else ''}{row['reason']}"
    if not pd.isna(row["p_holm"]):
        hint += f"; p {row['p']:.2g}, corrected for {row['family_size']:.0f} {row['p_holm']:.2g}"
    value, low, high = (row[f"share{end}"] for end in ("", "_low", "_high"))
    limits = "" if pd.isna(low) or pd.isna(high) else f"[{low:.2f}, {high:.2f}]".replace("inf", "∞")
    return ShareCell("–" if pd.isna(value) else f"{value:.2f}", limits, FILLS.get(str(row["verdict"]), ""), hint)
