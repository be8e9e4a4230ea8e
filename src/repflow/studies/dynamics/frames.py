"""The tables of a dynamics run as the report reads them."""

import math
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from repflow.drawing.source import Scene
from repflow.studies.dynamics.rows import BoundRow, InfluenceRow, RecencyRow, TransitionRow


@dataclass(frozen=True)
class Dynamics:
    """Transitions of state-space blocks, influence by distance, its slopes, and bounds beside what they bound."""

    transitions: pd.DataFrame
    influence: pd.DataFrame
    recency: pd.DataFrame
    bounds: pd.DataFrame

    @property
    def scenes(self) -> list[Scene]:
        """Task and context, in the run's order."""
        found = self.bounds[["task", "context"]].drop_duplicates().itertuples(index=False, name=None)
        return [Scene(str(task), int(context)) for task, context in found]

    @property
    def policies(self) -> list[str]:
        """The token policies of the paths, `no_sink` first."""
        seen = self.bounds.loc[self.bounds["site"] == "path", "tokens"].drop_duplicates().tolist()
        return sorted(seen, key=lambda name: name != "no_sink")


_KINDS = (("transitions", TransitionRow), ("influence", InfluenceRow), ("recency", RecencyRow), ("bounds", BoundRow))


def read_dynamics(run: Any) -> Dynamics | None:
    """The dynamics of a run; None where it has none."""
    if not hasattr(run, "table"):
        return None
    frames = [run.table(name).reindex(columns=[f.name for f in fields(kind)]) for name, kind in _KINDS]
    found = Dynamics(*frames)
    return None if found.bounds.empty else found


def half_lives(transitions: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of the half-life in tokens by block: columns depth, site, q01 .. q99, and the median's interval."""
    rows = transitions[transitions["quantity"] == "half_life"]
    wide = rows.pivot_table(index=["depth", "site"], columns="statistic", values="value", sort=False).reset_index()
    middle = rows[rows["statistic"] == "q50"].set_index("site")[["ci_low", "ci_high"]]
    return wide.join(middle, on="site").sort_values("depth", kind="stable")


def place(first: int, last: int) -> float:
    """Where a bin of distances stands on a logarithmic axis; distance 0 stands before 1."""
    return math.sqrt(first * last) if first else 0.5


def told_distance(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"
