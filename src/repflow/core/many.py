"""Looking at many numbers at once: p-values from intervals, and their correction. numpy and scipy load on use."""
# scipy ships no type stubs:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def p_values(value: Any, low: Any, high: Any, units: Any) -> "np.ndarray":
    """Two-sided p-values of 0, [n], of differences whose 95% intervals are known.

    The side of the interval towards 0 is taken for t(units - 1) standard errors, so that p <= 0.05 where the interval
    leaves out 0; beyond it Student's t goes on. NaN without an interval.
    """
    import numpy as np

    value, low, high = (np.asarray(given, dtype=np.float64) for given in (value, low, high))
    half = np.where(value > 0, value - low, high - value)
    return _tail(value, standard_errors(half, units), np.asarray(units, dtype=np.float64) - 1)


def p_values_apart(
    difference: Any, halves: "tuple[np.ndarray, np.ndarray]", units: "tuple[np.ndarray, np.ndarray]"
) -> "np.ndarray":
    """The same of two numbers that are not paired.

    Args:
        halves: of both numbers the side of their 95% intervals towards the other.
        units: behind each.

    Their variances add, with the degrees of freedom of Welch and Satterthwaite.
    """
    import numpy as np

    freedoms = [np.asarray(n, dtype=np.float64) - 1 for n in units]
    squares = [standard_errors(half, n) ** 2 for half, n in zip(halves, units, strict=True)]
    both = squares[0] + squares[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [square**2 / freedom for square, freedom in zip(squares, freedoms, strict=True)]
        freedom = np.where(both > 0, both**2 / (parts[0] + parts[1]), freedoms[0])
    return _tail(np.asarray(difference, dtype=np.float64), np.sqrt(both), freedom)


def standard_errors(half: "np.ndarray", units: Any) -> "np.ndarray":
    """What half a 95% interval over so many units says of the standard error; NaN below 2 units."""
    import numpy as np
    from scipy import special

    counted = np.asarray(units, dtype=np.float64)
    return np.maximum(half, 0.0) / np.where(counted > 1, special.stdtrit(np.maximum(counted - 1, 1), 0.975), np.nan)


def _tail(value: "np.ndarray", error: "np.ndarray", freedom: "np.ndarray") -> "np.ndarray":
    import numpy as np
    from scipy import special

    with np.errstate(divide="ignore", invalid="ignore"):
        found = 2 * special.stdtr(freedom, -np.abs(value) / error)
    exact = np.where(value == 0, 1.0, 0.0)
    return np.where(np.isnan(error) | np.isnan(value), np.nan, np.where(error == 0, exact, found))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for being several (Holm 1979); NaN stays, and counts as one that was looked at."""
    found, worst = [math.nan] * len(values), 0.0
    known = sorted((value, place) for place, value in enumerate(values) if not math.isnan(value))
    for rank, (value, place) in enumerate(known):
        worst = max(worst, min(1.0, value * (len(values) - rank)))
        found[place] = worst
    return found
