"""A quantity along the layers of one model, with its bootstrap replicates, and numbers made of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repflow.core import interval
from repflow.drawing.source import is_final
from repflow.store import usable_units

if TYPE_CHECKING:
    import pandas as pd

    from repflow.store import Run

THIRD, TWO_THIRDS, QUARTER = 1 / 3 + 1e-9, 2 / 3 + 1e-9, 0.75 - 1e-9


@dataclass(frozen=True)
class Choice:
    """What is read where a claim leaves it open."""

    hf: bool = False
    """Hugging Face's list of hidden states for the layers, its last entry behind the final norm."""
    tokens: str = "no_sink"
    variant: str = "raw"


@dataclass(frozen=True)
class Number:
    """A number of one model with its 95% interval, NaN for none."""

    value: float
    low: float
    high: float
    units: int


@dataclass(frozen=True)
class Curve:
    """A quantity at every layer: the blocks in order, or the entries of Hugging Face's list behind the first."""

    values: np.ndarray
    """[layers, 1 + B]: the estimate and its replicates."""
    depths: np.ndarray
    units: int

    def of(self, statistic: Callable[["Curve"], np.ndarray]) -> Number:
        """A statistic [1 + B] of the curve, and its interval: that of the statistic's replicates."""
        made = statistic(self)
        low, high = interval(made[1:], self.units) if len(made) > 1 else (np.nan, np.nan)
        return Number(float(made[0]), float(low), float(high), self.units)

    def mean(self, above: float, to: float) -> np.ndarray:
        """Mean over the layers at depths in (above, to]."""
        return self._of(above, to).mean(axis=0)

    def spread(self, above: float, to: float) -> np.ndarray:
        """Standard deviation over these layers; undefined of fewer than two."""
        mine = self._of(above, to)
        return mine.std(axis=0, ddof=1) if len(mine) > 1 else np.full(mine.shape[1], np.nan)

    def highest(self, above: float, to: float) -> np.ndarray:
        """The largest of these layers."""
        return self._of(above, to).max(axis=0)

    def last(self) -> np.ndarray:
        """At the last layer."""
        return self.values[-1]

    def _of(self, above: float, to: float) -> np.ndarray:
        wanted = (self.depths > above) & (self.depths <= to)
        return self.values[wanted] if wanted.any() else np.full((1, self.values.shape[1]), np.nan)


def curve_of(run: "Run", label: str, metric: str, choice: Choice) -> Curve | None:
    """The curve of one model in a flow run; None where it has no such rows, or undefined ones."""
    rows = run.layers
    wanted = (
        (rows["subject"] == label)
        & (rows["metric"] == metric)
        & (rows["variant"] == choice.variant)
        & (rows["tokens"] == choice.tokens)
        & (rows["depth"] > 0)
    )
    if not choice.hf:
        wanted &= ~is_final(rows["site"], rows["depth"])
    return _curve(rows[wanted], run.replicates.get("layers"))


def _curve(rows: "pd.DataFrame", replicates: np.ndarray | None) -> Curve | None:
    rows = rows.sort_values("site_index", kind="stable")
    values = rows["value"].to_numpy(dtype=float)[:, None]
    if not len(values) or np.isnan(values).any():
        return None
    if replicates is not None:
        values = np.hstack([values, replicates[rows.index].astype(np.float64)])
    return Curve(values, rows["depth"].to_numpy(dtype=float), int(usable_units(rows).min()))
