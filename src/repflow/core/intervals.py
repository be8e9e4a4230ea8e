"""Intervals from bootstrap replicates: the one rule for metrics and comparisons alike. numpy and scipy load on use."""
# scipy ships no type stubs, numpy's quantile is partly typed:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MIN_UNITS = 8
"""Fewer resampling units give no interval: what they spread says too little of what others would."""
ROUGH_UNITS = 30
"""Fewer give a rough one: of skewed values it covers less than 90%."""
_FURTHEST = 0.2
"""No end is taken further out than five times t; there are no replicates there."""


def interval(replicates: "np.ndarray", n: "np.ndarray | int", level: float = 0.95) -> "tuple[np.ndarray, np.ndarray]":
    """Percentile interval of Poisson-bootstrap replicates along the last axis, widened for few units and for skewness.

    Args:
        replicates: [..., B] replicate values; NaN are left out, infinite ones are the largest or least there are.
        n: [...] resampling units behind each value, not the examples in them.

    Returns (low, high), each [...], within the replicates; NaN where n is below 8, where more than half the replicates
    are NaN, or where there are fewer than the level asks for (39 of 95%). The ends lie at the levels Phi(-t) and
    Phi(t) of Student's t with n - 1 degrees of freedom (Hesterberg 2015, arXiv:1411.5279; the factor sqrt(n/(n-1)) is
    left out, since weights whose sum is random spread by as much more). On the side to which the replicates lean, of
    skewness k, t is t / (1 - t |k| / 6), as BC_a takes it further out (Efron 1987); on the other side it is not drawn
    in. Levels are read at order statistics k / (B + 1), so that B replicates leave the nominal share outside. What it
    covers: docs/benchmarks.md.
    For means of numbers in [0, 1] use `proportion`: where all units are alike this interval has no width.
    """
    import numpy as np

    values = np.asarray(replicates, dtype=np.float64)
    units = np.broadcast_to(np.asarray(n), values.shape[:-1])
    there = (~np.isnan(values)).sum(axis=-1)
    usable = (2 * there >= values.shape[-1]) & (there >= least_replicates(level)) & (units >= MIN_UNITS)
    low, high = np.full(units.shape, np.nan), np.full(units.shape, np.nan)
    if usable.any():
        low[usable], high[usable] = _ends(values[usable], units[usable], level)
    return low, high


def least_replicates(level: float = 0.95) -> int:
    """Fewer have no order statistic that leaves half of 1 - level outside."""
    return round(2 / (1 - level)) - 1


def student(n: "np.ndarray", level: float) -> "np.ndarray":
    """Two-sided quantile of Student's t for the mean of n units."""
    from scipy import special

    return special.stdtrit(n - 1, (1 + level) / 2)


def _ends(values: "np.ndarray", units: "np.ndarray", level: float) -> "tuple[np.ndarray, np.ndarray]":
    """Of [cells, B], NaN where a replicate is left out."""
    import numpy as np
    from scipy import special

    t, skewness = student(units, level), _skewness(values)
    ordered = np.sort(values, axis=-1)
    count = (~np.isnan(values)).sum(axis=-1)
    ends = (sign * t / np.maximum(1 - t * np.maximum(sign * skewness, 0.0) / 6, _FURTHEST) for sign in (-1.0, 1.0))
    low, high = (_at(ordered, count, special.ndtr(end), sign) for end, sign in zip(ends, (-1.0, 1.0), strict=True))
    return low, high


def _skewness(values: "np.ndarray") -> "np.ndarray":
    """Of the finite ones along the last axis; 0 where nothing varies."""
    import numpy as np

    values = np.where(np.isfinite(values), values, np.nan)
    values = np.where(np.isnan(values).all(axis=-1, keepdims=True), 0.0, values)
    centred = values - np.nanmean(values, axis=-1, keepdims=True)
    spread = np.sqrt(np.nanmean(centred**2, axis=-1))
    varies = spread > 1e-12 * np.nanmax(np.abs(values), axis=-1)
    return np.where(varies, np.nanmean(centred**3, axis=-1) / np.where(varies, spread, 1.0) ** 3, 0.0)


def _at(ordered: "np.ndarray", count: "np.ndarray", levels: "np.ndarray", side: float) -> "np.ndarray":
    """Order statistics [cells] at levels of (count + 1), between two of them in proportion; of infinite ones the outer.

    `side` is -1 for lower ends, 1 for upper ones.
    """
    import numpy as np

    place = np.clip(levels * (count + 1) - 1, 0, count - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, count - 1)
    rows = np.arange(len(ordered))
    first, second = ordered[rows, below], ordered[rows, above]
    with np.errstate(invalid="ignore"):
        between = first + (second - first) * (place - below)
    outer = np.where((place > below) & (side > 0), second, first)
    return np.where(np.isfinite(first) & np.isfinite(second), between, outer)
