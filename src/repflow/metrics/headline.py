"""One number an example, kept by itself: what tells whether neighbouring examples say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from repflow.core import Site
from repflow.metrics.batch import Batch
from repflow.metrics.inter_token_cosine import mean_cosine, square_and_count
from repflow.metrics.metric import Observer
from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView

EXAMPLES = 4096
"""Only the examples of the lowest ids are kept, so that memory stays the same however many there are."""


@dataclass(frozen=True)
class Course:
    """Values of single examples."""

    ids: Int64[Tensor, " n"]
    """Ascending."""
    values: Float64[Tensor, " n"]
    """NaN where undefined."""

    def merge(self, other: "Course") -> "Course":
        ids = torch.cat([self.ids, other.ids])
        order = ids.argsort(stable=True)[:EXAMPLES]
        return Course(ids[order], torch.cat([self.values, other.values])[order])


@dataclass(frozen=True)
class Headline:
    """inter_token_cosine, raw, at the middle block, of `no_sink` where that is asked for; it makes no row."""

    name: str = "headline"
    state: type[Any] = Course

    def observe(self, batch: Batch) -> Observer:
        return _Observer(batch)


def middle(sites: Sequence[Site]) -> int:
    """The place of the middle block."""
    return len(sites) // 2


def policy(policies: Sequence[str]) -> int:
    """The place of the token policy that is looked at."""
    return policies.index("no_sink") if "no_sink" in policies else len(policies) - 1


@dataclass
class _Observer:
    batch: Batch
    seen: int = 0
    sums: Tensor | None = None
    """[n, 2]: squared norm of the sum of unit rows, and their number."""

    def see(self, view: SiteView) -> None:
        if self.seen == middle(self.batch.sites):
            chosen = policy(self.batch.options.policies)
            self.sums = square_and_count(view.sum_of_units, view.norm, view.keep)[chosen]
        self.seen += 1

    def finish(self, trace: Trace) -> Course:
        assert self.sums is not None, "no site was seen"
        kept, ids = trace.finite.cpu(), torch.tensor(self.batch.example_ids, dtype=torch.int64)
        values = mean_cosine(self.sums[:, 0], self.sums[:, 1]).cpu()
        return Course(ids[:0], values[:0]).merge(Course(ids[kept], values[kept]))
