"""Intervals from bootstrap replicates: the one rule for metrics and comparisons alike. numpy and scipy load on use."""
# scipy ships no type stubs, numpy's quantile is partly typed:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MIN_UNITS = 8
"""Fewer resampling units give no interval: what they spread says too little of what others would."""
ROUGH_UNITS = 30
"""Fewer give a rough one: of skewed values it covers less than 90%."""


def interval(replicates: "np.ndarray", n: "np.ndarray | int", level: float = 0.95) -> "tuple[np.ndarray, np.ndarray]":
    """Percentile interval of bootstrap replicates along the last axis, widened for few units.

    Args:
        replicates: [..., B] replicate values; non-finite ones are left out.
        n: [...] resampling units behind each value.

    Returns (low, high), each [...]; NaN where fewer than 2 units or fewer than half the replicates are finite.
    The quantile levels are Phi(-sqrt(n/(n-1)) t_{n-1}), which turns into the plain percentile interval as n grows
    and keeps its coverage for small n (the expanded percentile interval of Hesterberg 2015, arXiv:1411.5279); they are
    read at order statistics k / (B + 1), so that B replicates leave the nominal share outside on each side.
    For means of numbers in [0, 1] use `proportion`: where all units are alike this interval has no width.
    """
    import numpy as np

    values = np.where(np.isfinite(replicates), replicates, np.nan)
    units = np.broadcast_to(np.asarray(n), values.shape[:-1])
    usable = (np.isfinite(values).mean(axis=-1) >= 0.5) & (units >= 2)
    low, high = np.full(units.shape, np.nan), np.full(units.shape, np.nan)
    for count in np.unique(units[usable]):
        cells = usable & (units == count)
        tail = _tail(int(count), level)
        low[cells], high[cells] = np.nanquantile(values[cells], [tail, 1 - tail], axis=-1, method="weibull")
    return low, high


def student(n: "np.ndarray", level: float) -> "np.ndarray":
    """Two-sided quantile of Student's t for the mean of n units."""
    from scipy import special

    return special.stdtrit(n - 1, (1 + level) / 2)


def _tail(n: int, level: float) -> float:
    from scipy import special

    widened = math.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + level) / 2)
    return float(special.ndtr(-widened))
