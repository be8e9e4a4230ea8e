"""Poisson bootstrap over examples: weights from a counter, intervals from replicates."""
# scipy ships no type stubs:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from scipy import special
from torch import Tensor

from repflow.metrics.tensors import as_tensor

REPLICATES = 200

_POISSON_CDF = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(20)])


def poisson_weights(seed: int, ids: Sequence[int], replicates: int = REPLICATES) -> Float64[Tensor, "n r"]:
    """Bootstrap weights of examples: column 0 is 1 (the estimate itself), the rest independent Poisson(1).

    Each row depends on (seed, id) alone, through the counter-based Philox generator and a table look-up, so batch
    size, order, engine and library version do not change it. Source: Chamandy et al. 2012, Hanley & MacGibbon 2006.
    """
    weights = np.ones((len(ids), 1 + replicates))
    for row, example_id in enumerate(ids):
        key = np.array([seed, example_id], dtype=np.int64).view(np.uint64)
        uniform = np.random.Philox(key=key).random_raw(replicates) * 2.0**-64
        weights[row, 1:] = np.searchsorted(_POISSON_CDF, uniform, side="right")
    return as_tensor(weights)


def interval(replicates: np.ndarray, n: np.ndarray | int, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of bootstrap replicates along the last axis, widened for few examples.

    Args:
        replicates: [..., B] replicate values; non-finite ones are left out.
        n: [...] resampling units behind each value.

    Returns (low, high), each [...]; NaN where fewer than 2 units or fewer than half the replicates are finite.
    The quantile levels are Phi(-sqrt(n/(n-1)) t_{n-1}), which turns into the plain percentile interval as n grows
    and keeps its coverage for small n (the expanded percentile interval of Hesterberg 2015, arXiv:1411.5279); they are
    read at order statistics k / (B + 1), so that B replicates leave the nominal share outside on each side.
    """
    values = np.where(np.isfinite(replicates), replicates, np.nan)
    units = np.broadcast_to(np.asarray(n), values.shape[:-1])
    usable = (np.isfinite(values).mean(axis=-1) >= 0.5) & (units >= 2)
    low, high = np.full(units.shape, np.nan), np.full(units.shape, np.nan)
    for count in np.unique(units[usable]):
        cells = usable & (units == count)
        tail = _tail(int(count), level)
        low[cells], high[cells] = np.nanquantile(values[cells], [tail, 1 - tail], axis=-1, method="weibull")
    return low, high


def _tail(n: int, level: float) -> float:
    widened = math.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1 + level) / 2)
    return float(special.ndtr(-widened))
