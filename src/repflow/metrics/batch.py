"""A batch of examples as the metrics see it: which tokens are real, which count, how each example weighs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from repflow.core import POLICIES, Site, unknown
from repflow.metrics.bootstrap import REPLICATES, poisson_weights
from repflow.metrics.tensors import as_list, as_tensor

SINK_FACTOR = 10.0
GRAM_ROWS = 256

_GRAM_STREAM = 0x6772616D  # keeps the sampling of Gram rows apart from the bootstrap's streams


@dataclass(frozen=True)
class Options:
    """What every metric of a session shares."""

    policies: tuple[str, ...] = ("all", "no_sink")
    sink_factor: float = SINK_FACTOR
    """A token is a sink at a site when its norm exceeds this many times the median norm there."""
    gram_rows: int = GRAM_ROWS
    """At most this many tokens of an example enter a Gram matrix."""
    replicates: int = REPLICATES
    seed: int = 0

    def __post_init__(self) -> None:
        for policy in self.policies:
            if policy not in POLICIES:
                raise unknown("token policy", policy, POLICIES)


@dataclass(frozen=True)
class Batch:
    """N examples padded to T tokens; padding may be on either side but never counts."""

    example_ids: tuple[int, ...]
    real: Bool[Tensor, "n t"]
    """False at padding."""
    special: Bool[Tensor, "n t"]
    """True at BOS, EOS and the like."""
    sites: tuple[Site, ...]
    """In the order in which the forward pass reaches them."""
    options: Options = Options()
    units: tuple[int, ...] | None = None
    """What each example is resampled with; None where each is a unit of its own."""

    @cached_property
    def plain(self) -> Bool[Tensor, "n t"]:
        """Real and not special."""
        return self.real & ~self.special

    @cached_property
    def padded(self) -> bool:
        return not bool(self.real.all())

    @cached_property
    def weights(self) -> Float64[Tensor, "n r"]:
        """Bootstrap weights on the CPU, column 0 the estimate's own."""
        units = self.example_ids if self.units is None else self.units
        return poisson_weights(self.options.seed, units, self.options.replicates)

    @cached_property
    def gram_index(self) -> tuple[Int64[Tensor, "n m"], Bool[Tensor, "n m"]]:
        """Ascending token positions, at most `gram_rows`, and which entries are not filling.

        All real tokens of an example, or a sample drawn by a generator keyed by the example id alone.
        """
        longest = max(as_list(self.real.sum(1)), default=0)
        return self._rows(max(1, min(self.options.gram_rows, longest)), sampled_rows)

    def spaced_index(self, rows: int) -> tuple[Int64[Tensor, "n m"], Bool[Tensor, "n m"]]:
        """Likewise `rows` evenly spaced positions, the same in all examples of one length."""
        return self._rows(rows, lambda _, n, at_most: spaced_rows(n, at_most))

    def _rows(
        self, rows: int, choose: Callable[[int, int, int], np.ndarray]
    ) -> tuple[Int64[Tensor, "n m"], Bool[Tensor, "n m"]]:
        index = np.zeros((len(self.example_ids), rows), dtype=np.int64)
        valid = np.zeros((len(self.example_ids), rows), dtype=bool)
        for row, (example_id, real) in enumerate(zip(self.example_ids, self.real.cpu().numpy(), strict=True)):
            chosen = np.flatnonzero(real)[choose(example_id, int(real.sum()), rows)]
            index[row, : len(chosen)] = chosen
            valid[row, : len(chosen)] = True
        device = self.real.device
        return as_tensor(index).to(device), as_tensor(valid).to(device)


def sampled_rows(example_id: int, n: int, at_most: int) -> np.ndarray:
    """`at_most` of 0..n-1 in ascending order, without replacement, by a generator keyed by the example id."""
    if n <= at_most:
        return np.arange(n)
    key = np.array([_GRAM_STREAM, example_id], dtype=np.int64).view(np.uint64)
    return np.sort(np.argsort(np.random.Philox(key=key).random_raw(n), kind="stable")[:at_most])


def spaced_rows(n: int, at_most: int) -> np.ndarray:
    """`at_most` of 0..n-1, evenly spaced, ascending."""
    return np.arange(n) if n <= at_most else (2 * np.arange(at_most) + 1) * n // (2 * at_most)


def pad(rows: Sequence[Sequence[int]], fill: int = 0) -> tuple[Int64[Tensor, "n t"], Bool[Tensor, "n t"]]:
    """Right-padded token ids and the mask of real tokens."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), fill, dtype=torch.int64)
    real = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        real[i, : len(row)] = True
    return ids, real
