"""Intervals and p-values of a number that varies over examples, between draws and between trainings."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from repflow.core import interval

Span = tuple[float, float, float]
"""A value and its 95% interval, NaN where there is none."""
NONE: Span = (math.nan, math.nan, math.nan)
FARTHEST = 1e6
"""A limit beyond this is none: infinite."""
_FINE = 1e-4
"""How close the ends of a ratio are found, relative to it."""


@dataclass(frozen=True)
class Error:
    """An error of a number that comes of few draws or trainings."""

    variance: float
    freedom: int


@dataclass(frozen=True)
class Measured:
    """A number, its bootstrap replicates over units, and its other errors.

    The half-width over units on each side is that of `interval`, taken for h = t(units - 1) se; every error
    has a Student's t of its own. Their variances add, with the degrees of freedom of Welch and Satterthwaite. Without
    errors the interval is that over units; NaN where one of them cannot be told.
    """

    value: float
    replicates: np.ndarray
    """[B]"""
    units: int
    errors: tuple[Error, ...] = ()

    @property
    def span(self) -> Span:
        """The value and its 95% interval."""
        low, high = (float(end) for end in interval(self.replicates, self.units))
        return self.value, self.value - self._widened(self.value - low), self.value + self._widened(high - self.value)

    @property
    def unit_error(self) -> float:
        """The standard error over units alone."""
        from scipy import special

        low, high = (float(end) for end in interval(self.replicates, self.units))
        return (high - low) / 2 / float(special.stdtrit(self.units - 1, 0.975)) if self.units > 1 else math.nan

    @property
    def p(self) -> float:
        """The two-sided p-value of 0: 1 less the level of the widest interval that leaves it out."""
        from scipy import special

        low, high = (float(end) for end in interval(self.replicates, self.units))
        both, freedom = self._joined(self.value - low if self.value > 0 else high - self.value)
        if not math.isfinite(both):
            return math.nan
        if both == 0:
            return float(self.value == 0)
        return float(2 * special.stdtr(freedom, -abs(self.value) / math.sqrt(both)))

    def _widened(self, half: float) -> float:
        from scipy import special

        both, freedom = self._joined(half)
        return float(special.stdtrit(freedom, 0.975)) * math.sqrt(both) if both else 0.0

    def _joined(self, half: float) -> tuple[float, float]:
        """The variance of all errors with a half-width over units, and its degrees of freedom."""
        from scipy import special

        parts = [error for error in self.errors if error.variance]
        if self.units < 2 or not all(map(math.isfinite, (half, *(error.variance for error in parts)))):
            return math.nan, math.nan
        over_units = (max(half, 0.0) / float(special.stdtrit(self.units - 1, 0.975))) ** 2
        parts.append(Error(over_units, self.units - 1))
        both = sum(part.variance for part in parts)
        square = sum(part.variance**2 / part.freedom for part in parts)
        return both, both**2 / square if square else math.inf


def ratio_span(ratio: float, contrast: Callable[[float], Measured]) -> Span:
    """A ratio random / trained with its interval: the factors f for which random - f trained may be 0 (Fieller 1954).

    `contrast` gives random - f trained. An end is infinite where every factor on its side may be.
    """

    def low(factor: float) -> float:
        return contrast(factor).span[1]

    def high(factor: float) -> float:
        return -contrast(factor).span[2]

    if not (math.isfinite(ratio) and math.isfinite(low(ratio)) and math.isfinite(high(ratio))):
        return ratio, math.nan, math.nan
    return ratio, _end(low, ratio, -1), _end(high, ratio, 1)


def _end(gap: Callable[[float], float], start: float, way: int) -> float:
    """Where `gap`, at most 0 at the start, comes to be 0 on the way."""
    from scipy.optimize import brentq

    inner, step = start, 0.05 * max(abs(start), 0.1)
    if gap(start) >= 0:
        return start
    while gap(outer := inner + way * step) < 0:
        inner, step = outer, 2 * step
        if abs(inner) > FARTHEST:
            return way * math.inf
    root: Any = brentq(gap, inner, outer, xtol=_FINE * max(abs(start), 0.1))
    return float(root)
