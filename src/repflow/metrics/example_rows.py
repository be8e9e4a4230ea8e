"""The last token's state of every example at every site: the rows of example-level CKA."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from repflow.metrics.batch import Batch
from repflow.metrics.bootstrap import poisson_weights
from repflow.metrics.hsic import cka
from repflow.metrics.metric import Observer
from repflow.metrics.tensors import as_list, row_norm
from repflow.metrics.token_cka import MIN_ROWS
from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView, beyond_rounding
from repflow.metrics.weighted_hsic import of_block, weighted_hsic

BLOCK = 64
"""Examples a block: ids 0..63, 64..127 and so on, whatever the batches were."""


@dataclass(frozen=True)
class Grams:
    """Gram matrices among the last-token states of the examples seen, block by block.

    Rows wait in `open` until their block is complete; then only the block's Grams are kept, so memory grows by
    4 x 64 bytes an example and site, whatever the width.
    """

    ids: Int64[Tensor, " n"]
    """Ascending ids of the waiting rows."""
    open: Float32[Tensor, "n s d"]
    blocks: Int64[Tensor, " b"]
    """Ascending numbers of the complete blocks."""
    closed: Float32[Tensor, "b s 64 64"]
    """Their Grams, about the block's mean, rows in order of id."""

    def merge(self, other: "Grams") -> "Grams":
        ids, rows = torch.cat([self.ids, other.ids]), _join(self.open, other.open)
        order = ids.argsort(stable=True)
        ids, rows = ids[order], rows[order]
        blocks, closed = torch.cat([self.blocks, other.blocks]), _join(self.closed, other.closed)
        number = ids // BLOCK
        full = sorted(b for b, size in Counter(as_list(number)).items() if size == BLOCK)
        if full:
            fresh = torch.stack([block_gram(rows[number == b]) for b in full])
            waiting = ~torch.isin(number, torch.tensor(full))
            ids, rows = ids[waiting], rows[waiting]
            blocks, closed = torch.cat([blocks, torch.tensor(full)]), _join(closed, fresh)
        order = blocks.argsort()
        return Grams(ids, rows, blocks[order], closed[order])

    def by_block(self) -> dict[int, tuple[tuple[int, ...], Float32[Tensor, "s n n"]]]:
        """Every block's example ids and Grams, unfinished blocks included."""
        found = {
            b: (tuple(range(b * BLOCK, (b + 1) * BLOCK)), gram)
            for b, gram in zip(as_list(self.blocks), self.closed, strict=True)
        }
        number = self.ids // BLOCK
        for b in set(as_list(number)):
            found[b] = (tuple(as_list(self.ids[number == b])), block_gram(self.open[number == b]))
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class ExampleRows:
    """Last-token states (the source paper's h_T), for linear debiased CKA over blocks of 64 examples."""

    name: str = "example_cka"
    state: type[Any] = Grams

    def observe(self, batch: Batch) -> Observer:
        return _ExampleRowsObserver(batch)


@dataclass
class _ExampleRowsObserver:
    batch: Batch
    seen: int = 0
    rows: Tensor | None = None
    """[n, s, d]"""

    def see(self, view: SiteView) -> None:
        if self.rows is None:
            n, _, d = view.states.shape
            self.rows = view.states.new_empty(n, len(self.batch.sites), d)
        positions = torch.arange(view.states.shape[1], device=view.states.device)
        last = torch.where(self.batch.real, positions, -1).amax(1).clamp(min=0)
        self.rows[:, self.seen] = view.states[torch.arange(len(last), device=last.device), last]
        self.seen += 1

    def finish(self, trace: Trace) -> Grams:
        assert self.rows is not None, "no site was seen"
        finite, rows = trace.finite.cpu(), self.rows.cpu()
        ids = torch.tensor(self.batch.example_ids, dtype=torch.int64)[finite]
        sites = rows.shape[1]
        nothing = Grams(ids[:0], rows[:0], ids[:0], torch.zeros(0, sites, BLOCK, BLOCK))
        return nothing.merge(Grams(ids, rows[finite], ids[:0], nothing.closed))


def block_gram(rows: Float32[Tensor, "n s d"]) -> Float32[Tensor, "s n n"]:
    """Grams of one block's rows about their mean, at every site; exactly 0 where the rows are alike."""
    differences = rows - rows[:1]
    by_site = (differences * beyond_rounding(differences, row_norm(rows))[..., None]).transpose(0, 1)
    by_site = by_site - by_site.mean(1, keepdim=True)
    return by_site @ by_site.mT


@dataclass(frozen=True)
class ExampleCka:
    """CKA of all pairs of sites over blocks of examples."""

    value: Float64[Tensor, "r s s"]
    """Replicates behind the estimate."""
    examples: int
    """Examples behind it."""
    units: int
    """Their resampling units."""
    blocks: int
    """Blocks used."""
    left_out: int
    """Blocks of fewer than 4 examples."""


def example_cka(grams: Grams, seed: int, replicates: int, units: Mapping[int, int] | None = None) -> ExampleCka:
    """The ratio of HSICs summed over blocks; blocks of fewer than 4 examples are left out.

    `units` gives the resampling unit of each example by id, where that is not the example itself. Units lie across
    blocks; within a block its examples carry their unit's weight, as `weighted_hsic` says.
    """
    found = grams.by_block()
    blocks = {b: (ids, gram) for b, (ids, gram) in found.items() if len(ids) >= MIN_ROWS}
    own = [unit_of(ids, units) for ids, _ in blocks.values()]
    sites = grams.closed.shape[1]
    total = torch.zeros(1 + replicates, sites, sites, dtype=torch.float64)
    for of_examples, (_, gram) in zip(own, blocks.values(), strict=True):
        weights = poisson_weights(seed, of_examples, replicates)
        total += of_block(weighted_hsic(gram, gram, weights), weights)
    diagonal = total.diagonal(dim1=-2, dim2=-1)
    different = len({unit for of_examples in own for unit in of_examples})
    left_out = len(found) - len(blocks)
    return ExampleCka(cka(total, diagonal, diagonal), sum(map(len, own)), different, len(blocks), left_out)


def unit_of(ids: Sequence[int], units: Mapping[int, int] | None) -> tuple[int, ...]:
    """The unit of each example; its own id where it has none."""
    return tuple(ids) if units is None else tuple(units.get(i, i) for i in ids)


def _join(a: Tensor, b: Tensor) -> Tensor:
    """Concatenate along the first dimension; an empty side may have another width."""
    if not len(a):
        return b
    return torch.cat([a, b]) if len(b) else a
