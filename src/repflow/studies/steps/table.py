"""The table of models in training: what each third of depth gained or lost, and by which step."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from repflow.drawing.labels import estimate, number
from repflow.drawing.source import Subject
from repflow.drawing.table import Group, Head, Heading, Line, Table, estimates, of_subject

Cell = tuple[str, str]
"""A value and what stands small below it."""


def thirds_table(found: pd.DataFrame, subjects: tuple[Subject, ...]) -> Table:
    """`found`: the lines of `repflow.store.changes` of one scene, variant and policy."""
    start = "at initialisation" if (found["first_step"] == 0).all() else "at the first step"
    headings = (start, "at the end", "change", "more than half by step", "highest")
    groups = tuple(
        Group(
            tuple(Line(estimates(*_cells(row)), Head(str(row["third"]))) for row in mine.to_dict("records")),
            of_subject(subject, _steps(mine)),
        )
        for subject in subjects
        if len(mine := found[found["subject"] == subject.label])
    )
    return Table(("subject", "third"), tuple(map(Heading, headings)), groups)


def _steps(rows: pd.DataFrame) -> str:
    return f"steps {rows['first_step'].min():,} to {rows['last_step'].max():,}"


def _cells(row: Mapping[Any, Any]) -> tuple[Cell, ...]:
    values = (estimate(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("first", "last", "change"))
    top = ("–", "") if pd.isna(row["highest_step"]) else (number(row["highest"]), f"step {row['highest_step']:,}")
    return (*values, _halfway(row), top)


def _halfway(row: Mapping[Any, Any]) -> Cell:
    if pd.isna(row["clear"]):
        return "–", ""
    if not row["clear"]:
        return "no clear change", ""
    return f"{row['halfway_step']:,}", f"not yet at {row['before_step']:,}"
