"""Small Gram matrices of every example at every site, kept so that two models can be compared afterwards."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from repflow.metrics.batch import Batch
from repflow.metrics.metric import Observer
from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView, gather_rows, gram_of

ROWS = 64
"""Tokens an example, evenly spaced, so that sequences of one length give the same positions. HSIC_1 is unbiased at any
number of rows: a smaller sample costs width of interval only."""


EXAMPLES = 128
"""Only examples with a lower id are kept, so that memory stays the same however many there are."""


@dataclass(frozen=True)
class GramBank:
    """Grams among sampled tokens, by example: 16 KiB an example and site."""

    ids: Int64[Tensor, " n"]
    """Ascending."""
    grams: Float32[Tensor, "n s m m"]
    keep: Bool[Tensor, "n p m"]
    """Rows that count at every site, by policy."""

    def merge(self, other: "GramBank") -> "GramBank":
        ids = torch.cat([self.ids, other.ids])
        order = ids.argsort(stable=True)
        return GramBank(
            ids[order], torch.cat([self.grams, other.grams])[order], torch.cat([self.keep, other.keep])[order]
        )


@dataclass(frozen=True)
class TokenGrams:
    """Collects a GramBank. Only needed where more than one model is measured."""

    name: str = "token_grams"
    state: type[Any] = GramBank

    def observe(self, batch: Batch) -> Observer:
        return _TokenGramsObserver(batch, *batch.spaced_index(ROWS))


@dataclass
class _TokenGramsObserver:
    batch: Batch
    index: Tensor
    valid: Tensor
    seen: int = 0
    grams: Tensor | None = None
    """[n, s, m, m], filled site by site."""

    def see(self, view: SiteView) -> None:
        gram = gram_of(view.states, view.norm, self.index, self.valid, view.rooms).centred
        if self.grams is None:
            self.grams = gram.new_empty(len(gram), len(self.batch.sites), *gram.shape[1:])
        self.grams[:, self.seen] = gram
        self.seen += 1

    def finish(self, trace: Trace) -> GramBank:
        assert self.grams is not None, "no site was seen"
        ids = torch.tensor(self.batch.example_ids, dtype=torch.int64)
        wanted = trace.finite.cpu() & (ids < EXAMPLES)
        keep = gather_rows(trace.keep.all(0), self.index, self.valid)
        ids, grams, keep = ids[wanted], self.grams.cpu()[wanted], keep.transpose(0, 1).cpu()[wanted]
        bank = GramBank(ids, grams, keep)
        return bank.merge(GramBank(ids[:0], grams[:0], keep[:0]))
