"""Intervals of proportions: values in [0, 1] that may sit at a bound, where a bootstrap has no width."""
# scipy ships no type stubs, numpy is partly typed:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from typing import TYPE_CHECKING

from repflow.core.intervals import MIN_UNITS, ROUGH_UNITS, interval, student

if TYPE_CHECKING:
    import numpy as np

    Limited = tuple[np.ndarray | float, np.ndarray, np.ndarray, np.ndarray]

SHARES = ("dropped_share",)
"""Metrics of the tables of rows whose values lie in [0, 1] and may be 0 or 1 everywhere."""

_PRIOR = 2.0
"""How many rare outcomes count as much as the guess that a unit's examples are all alike."""
_NEAR = 10.0
"""Fewer rare outcomes than this are near a bound."""
_ALIKE = 1e-7
"""Replicates, kept in float32, that differ by less do not differ."""


def proportion(
    value: "np.ndarray | float", replicates: "np.ndarray", units: "np.ndarray | int", level: float = 0.95
) -> "tuple[np.ndarray, np.ndarray]":
    """Interval of means of numbers in [0, 1], such as right or wrong; never of width zero.

    Args:
        value: [...] the estimates, in [0, 1].
        replicates: [..., B] their bootstrap replicates, resampled by unit; non-finite ones are left out.
        units: [...] resampling units behind each value.

    Returns (low, high), each [...], within [0, 1]; NaN where `value` is, where fewer than 8 units stand behind it, or
    fewer than half the replicates are finite.
    - All units alike: a share q = (alpha/2)^(1/units) of all units, or more, would be so; the others may be anything.
      At 0 and 1 this is the Clopper-Pearson interval over units.
    - Fewer than 10 outcomes of the rarer kind, or fewer than 30 units: the Wilson interval of the effective number of
      outcomes value (1 - value) / variance, scaled by (z / t)^2 for few units (Korn & Graubard 1998). The variance is
      the replicates', so that examples alike within a unit count as few; with few rare outcomes it is unsure, and the
      number is drawn towards that of the units.
    - Else the bootstrap's.
    """
    import numpy as np

    p, n = np.broadcast_arrays(np.asarray(value, dtype=np.float64), np.asarray(units))
    found = np.where(np.isfinite(replicates), replicates, np.nan)
    usable = (n >= MIN_UNITS) & np.isfinite(p) & (np.isfinite(found).mean(axis=-1) >= 0.5)
    low, high = np.full(p.shape, np.nan), np.full(p.shape, np.nan)
    if not usable.any():
        return low, high
    p, n, found = p[usable], n[usable].astype(np.float64), found[usable]
    rest = interval(found, n.astype(np.int64), level)
    variance = np.nanvar(found, axis=-1) * n / (n - 1)
    alike = np.sqrt(variance) < _ALIKE
    with np.errstate(divide="ignore", invalid="ignore"):
        outcomes = np.where(alike, n, p * (1 - p) / variance)
    rare = outcomes * np.minimum(p, 1 - p)
    share = rare / (rare + _PRIOR)
    effective = 1 / (share / outcomes + (1 - share) / np.minimum(outcomes, n))
    near = (rare < _NEAR) | (n < ROUGH_UNITS)
    q = ((1 - level) / 2) ** (1 / n)
    for end, ours, wilson, all_alike in zip(
        (low, high), rest, _wilson(p, effective, n, level), (p * q, 1 - (1 - p) * q), strict=True
    ):
        end[usable] = np.where(alike, all_alike, np.clip(np.where(near, wilson, ours), 0.0, 1.0))
    return low, high


def proportion_difference(
    a: "np.ndarray | float",
    replicates_a: "np.ndarray",
    b: "np.ndarray | float",
    replicates_b: "np.ndarray",
    units: "np.ndarray | int",
    level: float = 0.95,
) -> "tuple[np.ndarray, np.ndarray]":
    """Paired interval of b - a, two means of numbers in [0, 1] of the same units; never of width zero.

    Arguments as for `proportion`, the replicates of both made with the same weights. The ends combine those of the two
    intervals, their correlation taken off (MOVER: Newcombe 1998, Zou 2007). Where hardly a unit differs (more than
    alpha/2 of the replicates have no difference) they are at least as far from b - a as where none does: a share of
    1 - (alpha/2)^(1/units) of all units may differ unseen. Within [-1, 1]; NaN where one of the two has no interval.
    """
    import numpy as np

    low, high = difference_limits(
        (a, *proportion(a, replicates_a, units, level), replicates_a),
        (b, *proportion(b, replicates_b, units, level), replicates_b),
        units,
        level,
    )
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def difference_limits(
    a: "Limited", b: "Limited", units: "np.ndarray | int", level: float = 0.95
) -> "tuple[np.ndarray, np.ndarray]":
    """As `proportion_difference`, of two numbers whose own limits are known: (value, low, high, replicates [..., B]).

    For numbers made of proportions, such as accuracy above chance; (low, high), each [...], not kept within bounds.
    """
    import numpy as np

    (a_value, a_low, a_high, a_replicates), (b_value, b_low, b_high, b_replicates) = a, b
    r, alpha = _correlation(a_replicates, b_replicates), (1 - level) / 2
    value = np.asarray(b_value, dtype=np.float64) - a_value
    with np.errstate(invalid="ignore"):
        differences = b_replicates - a_replicates
        unseen = (np.abs(differences) < _ALIKE).mean(axis=-1) > alpha
        unseen |= np.ptp(differences, axis=-1) < _ALIKE
    least = np.where(unseen, 1 - alpha ** (1 / np.maximum(units, 1)), 0.0)
    low = value - np.maximum(_joined(b_value - b_low, a_high - a_value, r), least)
    high = value + np.maximum(_joined(b_high - b_value, a_value - a_low, r), least)
    return low, high


def _wilson(
    p: "np.ndarray", outcomes: "np.ndarray", units: "np.ndarray", level: float
) -> "tuple[np.ndarray, np.ndarray]":
    import numpy as np
    from scipy import special

    z = float(special.ndtri((1 + level) / 2))
    n = outcomes * (z / student(units, level)) ** 2
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


def _joined(one: "np.ndarray", other: "np.ndarray", correlation: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return np.sqrt(np.maximum(one**2 + other**2 - 2 * correlation * one * other, 0.0))


def _correlation(a: "np.ndarray", b: "np.ndarray") -> "np.ndarray":
    """Of replicates [..., B] that are finite in both; 0 where one of them does not vary."""
    import numpy as np

    both = np.isfinite(a) & np.isfinite(b)
    a, b = (np.where(both, x, 0.0) for x in (a, b))
    count = np.maximum(both.sum(axis=-1, keepdims=True), 1)
    a, b = (np.where(both, x - x.sum(axis=-1, keepdims=True) / count, 0.0) for x in (a, b))
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.where(scale > 1e-15, (a * b).sum(axis=-1) / np.where(scale > 1e-15, scale, 1.0), 0.0)
