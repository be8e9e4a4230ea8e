"""Poisson bootstrap over units of examples: weights from a counter."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Integer
from torch import Tensor

from repflow.metrics.tensors import as_tensor

REPLICATES = 200

_POISSON_CDF = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(20)])


def poisson_weights(seed: int, units: Sequence[int], replicates: int = REPLICATES) -> Float64[Tensor, "n r"]:
    """Bootstrap weights of examples, given the unit of each: column 0 is 1 (the estimate), the rest Poisson(1).

    Each row depends on (seed, unit) alone, through the counter-based Philox generator and a table look-up, so batch
    size, order, engine and library version do not change it, and examples of one unit are drawn together.
    Source: Chamandy et al. 2012, Hanley & MacGibbon 2006; whole units: Field & Welsh 2007.
    """
    weights = np.ones((len(units), 1 + replicates))
    for row, unit in enumerate(units):
        key = np.array([seed, unit], dtype=np.int64).view(np.uint64)
        uniform = np.random.Philox(key=key).random_raw(replicates) * 2.0**-64
        weights[row, 1:] = np.searchsorted(_POISSON_CDF, uniform, side="right")
    return as_tensor(weights)


def units_behind(
    count: Integer[np.ndarray, "*cells"], weight: Float[np.ndarray, "*cells r"], examples: int, units: int
) -> Integer[np.ndarray, "*cells"]:
    """Units behind values that rest on `count` of a pass's `examples`, which belong to so many `units`.

    `weight` is what each value's sums were divided by, replicates behind the estimate. Exact where a value rests on all
    examples, and where every example is a unit of its own. Else read from the replicates, whose variance is the sum of
    the squared sizes of the units: weight^2 / variance units of equal size would say as much.
    """
    most = np.asarray(np.minimum(count, units))
    if units >= examples or weight.shape[-1] < 2:
        return most
    variance = weight[..., 1:].var(axis=-1)
    varies = variance > 0
    likely = np.rint(weight[..., 0] ** 2 / np.where(varies, variance, 1.0))
    few = np.where(varies, np.minimum(likely, most), most).astype(most.dtype)
    return np.where(count >= examples, most, few)
