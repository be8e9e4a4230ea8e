"""How many independent units a measurement rests on, and whether neighbouring examples say the same."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from repflow.core import MIN_UNITS, ROUGH_UNITS, Example
from repflow.metrics import Course, units_behind

_CHANCE = 1.645
"""An autocorrelation counts where it is beyond the 95% of those of independent examples, 1.645 / sqrt(pairs)."""
_LEAST = 1e-6
"""Of that part of the units at least something is left."""
_ALIKE = 1e-20
"""Squared differences below this part of the squares are rounding."""


@dataclass(frozen=True)
class Units:
    """The resampling units behind a measurement."""

    examples: int
    n: int
    """Different units."""
    effective: float
    """Independent examples that would say as much."""
    of: Mapping[int, int] | None = None
    """Unit by example id; None where it was not kept."""
    autocorrelation: float = math.nan
    """Lag-1, of a headline number between neighbouring examples of one source; NaN where it was not measured."""
    between: float = math.nan
    """The same between the means of neighbouring units: what the units leave of it."""
    headline: str = ""
    """What number that is."""
    stretch: float = 1.0
    """sqrt((1 + r) / (1 - r)) where neighbouring units correlate by r, beyond chance: how much wider intervals are."""

    @classmethod
    def of_sizes(cls, sizes: Iterable[int], of: Mapping[int, int] | None = None) -> "Units":
        """Units of so many examples each: worth (sum of sizes)^2 / sum of squared sizes."""
        counted = np.array(list(sizes), dtype=np.float64)
        whole = float(counted.sum())
        return cls(int(whole), len(counted), whole**2 / float(counted @ counted) if whole else 0.0, of)

    def behind(self, n: Any) -> Any:
        """Independent units that an interval may count, of n behind a value; none where fewer than 8 are effective."""
        if self.effective < MIN_UNITS:
            return np.zeros_like(n)
        return np.floor(n / self.stretch**2 + 1e-9).astype(int)

    def stretched(self, cells: np.ndarray, axis: int = -1) -> np.ndarray:
        """Estimates with their replicates behind them along an axis, those moved away by the stretch.

        Numbers that are never negative stay so.
        """
        if self.stretch == 1:
            return cells
        estimate = np.take(cells, [0], axis)
        with np.errstate(invalid="ignore"):
            moved = estimate + self.stretch * (cells - estimate)
            positive = ~(cells < 0).any(axis, keepdims=True)
        moved = np.where(positive, np.maximum(moved, 0.0), moved)
        return np.where(np.isfinite(moved), moved, cells)

    def facts(self) -> dict[str, Any]:
        """For run.json."""
        return {
            "n_units": self.n,
            "effective_n": round(self.effective, 1),
            "autocorrelation": _rounded(self.autocorrelation),
            "autocorrelation_of_units": _rounded(self.between),
            "headline": self.headline if math.isfinite(self.autocorrelation) else None,
        }

    def warn(self, warn: Callable[[str], None], where: str) -> None:
        """Say so where they are too few for an interval, or for a good one."""
        told = f"{where}: {_told(self.n, self.examples)}"
        if self.effective < self.n - 0.5:
            told += f", worth {self.effective:.1f} independent ones"
            if self.between > 0:
                told += f" (neighbouring units correlate by {self.between:.2f})"
        if self.effective < MIN_UNITS:
            warn(f"{told}; fewer than {MIN_UNITS} give no interval: raise --examples, or give more text or sources")
        elif self.effective < ROUGH_UNITS:
            warn(f"{told}; they make rough intervals, {ROUGH_UNITS} or more make good ones")


@dataclass(frozen=True)
class Rests:
    """What a value rests on."""

    examples: int
    units: int
    n: int
    """Units for an interval; 0 where there is to be none."""


@dataclass(frozen=True)
class Behind:
    """The examples that one subject was measured on, and their units; without `known` each is one."""

    examples: int
    known: Units | None

    @property
    def of(self) -> Mapping[int, int] | None:
        """Unit by example id."""
        return None if self.known is None else self.known.of

    def units(self, count: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Units behind values; arguments as for `units_behind`."""
        return units_behind(count, weight, self.examples, self.examples if self.known is None else self.known.n)

    def usable(self, units: Any) -> Any:
        """How many of the units behind a value an interval may count."""
        return units if self.known is None else self.known.behind(units)

    def rests(self, examples: Any, units: Any) -> Rests:
        return Rests(int(examples), int(units), int(self.usable(np.asarray(units))))

    def stretched(self, cells: np.ndarray, axis: int = -1) -> np.ndarray:
        """See `Units.stretched`."""
        return cells if self.known is None else self.known.stretched(cells, axis)


def units_of(examples: Sequence[Example], course: Course | None = None, headline: str = "") -> Units:
    """The units of the examples measured.

    Effective are at most as many as units of equal size would have to be to say as much, (sum of sizes)^2 / sum of
    squared sizes; and at most n (1 - r) / (1 + r) of n units where neighbours' means correlate by r, beyond chance.
    """
    of = {example.id: example.unit_id for example in examples}
    units = Units.of_sizes(Counter(of.values()).values(), of)
    if course is None:
        return units
    values = dict(zip(course.ids.tolist(), course.values.tolist(), strict=True))
    ordered = [
        (example.source, example.unit_id, values[example.id])
        for example in sorted(examples, key=lambda example: (example.unit_id, example.id))
        if math.isfinite(values.get(example.id, math.nan))
    ]
    means = [(*unit, float(np.mean([row[2] for row in rows]))) for unit, rows in groupby(ordered, lambda row: row[:2])]
    alike, _ = autocorrelation([(source, value) for source, _, value in ordered])
    between, pairs = autocorrelation([(source, value) for source, _, value in means])
    units = replace(units, autocorrelation=alike, between=between, headline=headline)
    stretch = stretch_of(between, pairs)
    return replace(units, effective=min(units.effective, units.n / stretch**2), stretch=stretch)


def stretch_of(correlation: float, pairs: int) -> float:
    """How much further a mean varies than one of independent units whose neighbours correlate so; 1 within chance."""
    if not pairs or correlation <= _CHANCE / math.sqrt(pairs):
        return 1.0
    return max((1 - correlation) / (1 + correlation), _LEAST) ** -0.5


def autocorrelation(ordered: Sequence[tuple[str, float]]) -> tuple[float, int]:
    """Lag-1 autocorrelation of numbers, each with its source, in order; and the pairs behind it. NaN without any.

    Pairs are neighbours of one source. Each source is centred by its own mean, and 1/n a source is added: what taking
    the means off takes away.
    """
    by_source: dict[str, list[float]] = {}
    for source, value in ordered:
        by_source.setdefault(source, []).append(value)
    series = [np.array(found) - np.mean(found) for found in by_source.values() if len(found) > 1]
    pairs, n = sum(len(x) - 1 for x in series), sum(map(len, series))
    square, size = sum(float(x @ x) for x in series), sum(value * value for _, value in ordered)
    if not pairs or square <= _ALIKE * size:
        return math.nan, 0
    together = sum(float(x[1:] @ x[:-1]) for x in series)
    return min(1.0, together / pairs / (square / n) + len(series) / n), pairs


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _told(units: int, examples: int) -> str:
    if units == examples:
        return f"{examples} example{'s' if examples != 1 else ''}"
    return f"{examples} examples of {units} unit{'s' if units != 1 else ''}"
