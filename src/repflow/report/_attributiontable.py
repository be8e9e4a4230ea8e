"""The table of an attribution run: trained value, share under each scheme, and the verdict."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from repflow.report._attributionrows import Attribution, Cell, of_cell, verdicts
from repflow.report._labels import estimate
from repflow.report._source import Source, Subject

FILLS = {"architecture": "#d7e7f5", "training": "#fce3d0", "mixed": "#ece4f2"}
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
    """All subjects of one task, context, variant and policy."""
    rows = of_cell(found.shares, cell)
    groups = ((s, tuple(_lines(source, found, cell, rows[rows["subject"] == s.label], s))) for s in source.subjects)
    headings = ("trained", *(f"share, {name}" for name in found.names), "verdict")
    return ShareTable(headings, tuple((s, lines) for s, lines in groups if lines))


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
        yield str(third), (trained, *shares, ShareCell(verdict, reason, FILLS.get(verdict, "")))


def _share(row: dict[Any, Any] | None) -> ShareCell:
    if row is None:
        return ShareCell("–", "", "", "left out")
    hint = f"{row['verdict']}{': ' if row['reason'] else ''}{row['reason']}"
    value, low, high = (row[f"share{end}"] for end in ("", "_low", "_high"))
    limits = "" if pd.isna(low) or pd.isna(high) else f"[{low:.2f}, {high:.2f}]"
    return ShareCell("–" if pd.isna(value) else f"{value:.2f}", limits, FILLS.get(str(row["verdict"]), ""), hint)
