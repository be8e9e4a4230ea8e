"""Bootstrap over groups: the interval of every number that probes yield."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

from repflow.core import proportion, proportion_difference
from repflow.metrics import REPLICATES, poisson_weights


@dataclass(frozen=True, eq=False)
class Scores:
    """Values [...] with their 95% intervals, NaN where none can be given."""

    value: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray


Numbers = Float[np.ndarray, "... n"] | Integer[np.ndarray, "... n"] | Bool[np.ndarray, "... n"]
"""One number an example, for any number of scores."""


class GroupBootstrap:
    """Replicates of means over examples, whole groups drawn with Poisson weights keyed by (seed, group).

    The trained probes stand: an interval says how sure their score is, for questions like these, not how much other
    training examples would change it. Two subjects probed on the same groups share the weights.
    """

    def __init__(self, groups: Integer[np.ndarray, " n"], seed: int = 0, replicates: int = REPLICATES) -> None:
        unique, self.sizes = np.unique(groups, return_counts=True)
        self.order = np.argsort(groups, kind="stable")
        self.weights = poisson_weights(seed, [int(g) for g in unique], replicates).numpy()

    def totals(self, values: Numbers) -> Float[np.ndarray, "... groups"]:
        """Sums over each group's examples."""
        starts = np.cumsum(self.sizes) - self.sizes
        return np.add.reduceat(values[..., self.order].astype(np.float64), starts, axis=-1)

    def means(self, values: Numbers, counts: Numbers) -> Float[np.ndarray, "... replicates"]:
        """Sum of values over sum of counts: the estimate, then its replicates."""
        with np.errstate(invalid="ignore"):
            return (self.totals(values) @ self.weights) / (self.totals(counts) @ self.weights)

    def units(self, counts: Numbers) -> Integer[np.ndarray, "..."]:
        """How many groups count at all."""
        return np.asarray((self.totals(counts) > 0).sum(-1))


def share_scores(replicates: Float[np.ndarray, "... replicates"], units: np.ndarray | int) -> Scores:
    """Means of numbers in [0, 1], estimates first; their intervals are never of width zero."""
    low, high = proportion(replicates[..., 0], replicates[..., 1:], units)
    return Scores(replicates[..., 0], low, high)


def difference_scores(
    values: Float[np.ndarray, "... replicates"],
    less: Float[np.ndarray, "... replicates"],
    units: np.ndarray | int,
) -> Scores:
    """One mean of numbers in [0, 1] less another, of the same weights: the interval is paired."""
    low, high = proportion_difference(less[..., 0], less[..., 1:], values[..., 0], values[..., 1:], units)
    return Scores(values[..., 0] - less[..., 0], low, high)
