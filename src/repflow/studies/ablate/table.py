"""The ablation grid: what was changed by what is measured, a difference and its interval a cell."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from repflow.drawing.labels import estimate, is_number
from repflow.drawing.source import Subject
from repflow.drawing.table import Group, Head, Heading, Line, Table, TableCell, estimates, of_subject
from repflow.studies.ablate.frames import SCORES, Column, told_change

Row = Mapping[Any, Any]
"""A row of the table, by column."""
_LESS, _MORE = (31, 101, 160), (196, 85, 8)
"""Blue for less, orange for more: told apart in every common form of colour blindness."""
_FAINT = "#f3f4f6"


def grid(rows: pd.DataFrame, columns: Sequence[Column], subjects: Iterable[Subject]) -> Table:
    """The grid of one task and policy; `rows` hold its flow numbers of that policy, and its scores."""
    titles = tuple((title, len(list(group))) for title, group in groupby(c.title for c in columns))
    scopes = tuple("" if c.metric in SCORES else c.scope.replace("_", " ") for c in columns)
    groups = tuple(
        _group(subject, mine, columns) for subject in subjects if len(mine := rows[rows["subject"] == subject.label])
    )
    return Table(("subject", "change"), tuple(map(Heading, scopes)), groups, titles)


def _group(subject: Subject, rows: pd.DataFrame, columns: Sequence[Column]) -> Group:
    known = {
        (row["changed"], Column(row["metric"], row["variant"], row["scope"])): row for row in rows.to_dict("records")
    }
    changes = rows.drop_duplicates("changed")[["changed", "what", "blocks"]].itertuples(index=False, name=None)
    lines = tuple(
        Line(
            tuple(_cell(known.get((changed, c)), c) for c in columns),
            Head(what, "" if blocks == "all" else blocks, code=True),
        )
        for changed, what, blocks in changes
    )
    base = Line(estimates(*(_base(rows, c) for c in columns)), Head("as it is"), strong=True)
    return Group((base, *lines), of_subject(subject))


def _base(rows: pd.DataFrame, column: Column) -> tuple[str, str]:
    here = rows[
        (rows["metric"] == column.metric) & (rows["variant"] == column.variant) & (rows["scope"] == column.scope)
    ]
    return estimate(*here.iloc[0][["base", "base_low", "base_high"]].astype(float)) if len(here) else ("–", "")


def _cell(row: Row | None, column: Column) -> TableCell:
    if row is None or not is_number(row["difference"]):
        return TableCell("–")
    value, low, high = differences(row, column)
    text, small = _signed(value, low, high, column)
    hint = f"{estimate(row['base'], None, None)[0]} before, {estimate(row['value'], None, None)[0]} after"
    clear = is_number(low) and is_number(high) and not low <= 0 <= high
    share = abs(value) / (100 if column.relative else column.full)
    return TableCell(text, small, hint, _fill(value, share) if clear else _FAINT, not clear)


def differences(row: Row, column: Column) -> tuple[float, float, float]:
    """The difference and its interval; in percent of the number before where sizes are compared."""
    base = abs(float(row["base"])) or float("nan")
    scale = 100 / base if column.relative else 1.0
    return scale * row["difference"], scale * row["difference_low"], scale * row["difference_high"]


def _signed(value: float, low: float, high: float, column: Column) -> tuple[str, str]:
    """A difference with its sign, and its interval, with decimals that fit the column."""
    if not is_number(value):
        return "–", ""
    if value == low == high == 0:
        return "0", ""
    decimals = _decimals(value, column)
    text = f"{value:+,.{decimals}f}".replace("-", "−")
    if not (is_number(low) and is_number(high)):
        return text, ""
    return text, f"[{low:,.{decimals}f}, {high:,.{decimals}f}]".replace("-", "−")


def _decimals(value: float, column: Column) -> int:
    """Three for likenesses and scores, one for percent; fewer for large numbers, which say enough without."""
    most = 1 if column.relative else 3
    return max(0, most - max(0, math.floor(math.log10(abs(value) or 1.0))))


def _fill(value: float, share: float) -> str:
    """The colour of a difference: its strength grows with the root of its size, so that small ones can be seen."""
    strength = 0.08 + 0.5 * min(1.0, share) ** 0.5
    return f"rgba({','.join(map(str, _MORE if value > 0 else _LESS))},{strength:.2f})"


_EACH = (
    "Clearly: by the interval of each number alone; nothing is corrected for there being many, so that about 1 in 20 "
    "changes without any effect is counted."
)


def grid_said(rows: pd.DataFrame, columns: Sequence[Column], shorts: dict[str, str]) -> str:
    """How many changes clearly move the scores and the late third, and which moves each the most."""
    told = [_largest(rows, c, shorts) for c in columns if c.metric in SCORES or c.scope == "late"]
    return " ".join([*told, _EACH] if told else told)


def _largest(rows: pd.DataFrame, column: Column, shorts: dict[str, str]) -> str:
    here = rows[
        (rows["metric"] == column.metric) & (rows["variant"] == column.variant) & (rows["scope"] == column.scope)
    ]
    told = [(row, *differences(row, column)) for row in here.to_dict("records")]
    clear = [(row, v, low, high) for row, v, low, high in told if is_number(low) and (low > 0 or high < 0)]
    counted = f"{column.told[0].upper()}{column.told[1:]}: clearly moved by {len(clear)} of {len(here)} changes"
    if not clear:
        return f"{counted}."
    row, value, low, high = max(clear, key=lambda found: abs(found[1]))
    text, small = _signed(value, low, high, column)
    change = told_change(row["what"], row["blocks"])
    return f"{counted}, most by {change} in {shorts[row['subject']]} ({text}{'%' if column.relative else ''} {small})."
