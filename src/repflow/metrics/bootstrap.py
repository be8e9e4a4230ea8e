"""Poisson bootstrap over examples: weights from a counter."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
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
