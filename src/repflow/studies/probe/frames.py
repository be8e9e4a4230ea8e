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

    @property
    def targets(self) -> list[str]:
        """What was looked for: position, value."""
        return [str(target) for (target,) in _distinct(self.sites, "target")]

    @property
    def readings(self) -> list[tuple[str, str, str]]:
        """Every target at every place it was looked for: (position, target, both in words)."""
        several = len(self.targets) > 1
        found = sorted(_distinct(self.sites, "position", "target"), key=lambda pair: self.targets.index(pair[1]))
        return [(p, t, f"{told_position(p)}, {t}" if several else told_position(p)) for p, t in found]


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
    """With every column; older tables are of positions."""
    found = given.reindex(columns=[f.name for f in fields(record)])
    return found.assign(target=found["target"].fillna("position"))


def _distinct(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    return frame[list(columns)].drop_duplicates().itertuples(index=False, name=None)
