"""The tables of a probe run as the report reads them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from repflow.studies.probe.rows import ProbeRow, ProbeSummaryRow, TellingRow
from repflow.studies.probe.shown import judged
from repflow.studies.probe.verdicts import told_position

__all__ = ["Probes", "Scene", "in_scene", "read_probes", "told_position", "told_scene", "where"]

Scene = tuple[str, int]
"""A task and its context."""


@dataclass(frozen=True)
class Probes:
    """Probes by site, their summaries, and what is readable against what is said.

    The last is empty where nothing was asked, and for runs made before chance was taken off both.
    """

    sites: pd.DataFrame
    summary: pd.DataFrame
    telling: pd.DataFrame

    @property
    def scenes(self) -> list[Scene]:
        return [(str(task), int(context)) for task, context in _distinct(self.sites, "task", "context")]

    @property
    def positions(self) -> list[str]:
        """The places of the prompt that were read, in the run's order."""
        return [str(position) for (position,) in _distinct(self.sites, "position")]


def read_probes(run: Any) -> Probes | None:
    """The probe tables of a run; None where it has none."""
    if not hasattr(run, "table"):
        return None
    kinds = (("probes", ProbeRow), ("probe_summary", ProbeSummaryRow), ("telling", TellingRow))
    sites, summary, telling = (_frame(run.table(name), kind) for name, kind in kinds)
    if sites.empty or summary.empty:
        return None
    return Probes(sites, judged(summary), telling[telling["probe_above"].notna()])


def _frame(given: pd.DataFrame, record: type) -> pd.DataFrame:
    return given.reindex(columns=[f.name for f in fields(record)])


def _distinct(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    return frame[list(columns)].drop_duplicates().itertuples(index=False, name=None)


def told_scene(scene: Scene) -> str:
    return f"{scene[0]}, {scene[1]:,} tokens"


def where(frame: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows whose columns have the given values."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def in_scene(frame: pd.DataFrame, scene: Scene, **wanted: object) -> pd.DataFrame:
    return where(frame, task=scene[0], context=scene[1], **wanted)
