"""The tables of a probe run as the report reads them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from repflow.drawing.source import Scene
from repflow.studies.probe.rows import ProbeRow, ProbeSummaryRow, TellingRow
from repflow.studies.probe.shown import judged
from repflow.studies.probe.verdicts import told_position

__all__ = ["Probes", "read_probes", "told_position"]


@dataclass(frozen=True)
class Probes:
    """Probes by site, their summaries, and what is readable against what is said.

    The last is empty where nothing was asked, and for runs made before chance was taken off both.
    """

    sites: pd.DataFrame
    summary: pd.DataFrame
    telling: pd.DataFrame

    @property
    def naming(self) -> tuple[pd.DataFrame, ...]:
        """The frames that name subjects."""
        return (self.sites,)

    @property
    def scenes(self) -> list[Scene]:
        return [Scene(str(task), int(context)) for task, context in _distinct(self.sites, "task", "context")]

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
