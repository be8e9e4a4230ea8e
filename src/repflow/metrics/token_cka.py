"""cka, variant `token`: likeness of two sites' token geometry within sequences."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from repflow.metrics.batch import Batch
from repflow.metrics.hsic import centred_hsic, cka, subset
from repflow.metrics.metric import Observer
from repflow.metrics.tensors import as_list
from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView, gather_rows

MIN_ROWS = 4


@dataclass(frozen=True)
class HsicSums:
    """Bootstrap-weighted sums over blocks of the HSICs of all pairs of sites."""

    total: Float64[Tensor, "p r s s"]
    count: Int64[Tensor, " p"]
    """Blocks taken in, by policy."""
    skipped: Int64[Tensor, " p"]
    """Blocks left out for having fewer than 4 rows."""
    weight: Float64[Tensor, "p r"]
    """Weights of the blocks taken in."""

    def merge(self, other: "HsicSums") -> "HsicSums":
        return HsicSums(
            self.total + other.total,
            self.count + other.count,
            self.skipped + other.skipped,
            self.weight + other.weight,
        )

    def value(self) -> Float64[Tensor, "p r s s"]:
        """CKA of all pairs of sites, replicates behind the estimate; at most 1, negatives kept."""
        own = self.total.diagonal(dim1=-2, dim2=-1)
        return cka(self.total, own, own)


@dataclass(frozen=True)
class TokenCka:
    """Linear debiased CKA of all pairs of sites; a block is one example, its rows its counted tokens.

    Blind to rotation and to a common scale of either site; about 0 for independent rows, slightly negative by chance.
    The run's value is the ratio of HSICs summed over blocks (Nguyen et al. 2021), never the mean of ratios. A token
    counts if it counts at every site; beyond `gram_rows` tokens a fixed sample is used. `biased` gives HSIC_0
    instead, for comparison with published figures only: it reads near 1 for few rows in many dimensions.
    Source: Kornblith et al. 2019 (arXiv:1905.00414); Song et al. 2012. Cost: a Gram per site, then one
    [s, n^2] x [n^2, s] product per example and policy.
    """

    biased: bool = False
    state: type[Any] = HsicSums

    @property
    def name(self) -> str:
        return "token_cka_biased" if self.biased else "token_cka"

    def observe(self, batch: Batch) -> Observer:
        return _TokenCkaObserver(self.name, self.biased, batch)


@dataclass
class _TokenCkaObserver:
    name: str
    biased: bool
    batch: Batch
    seen: int = 0
    grams: Tensor | None = None
    """[n, s, m, m], filled site by site."""

    def see(self, view: SiteView) -> None:
        gram = view.gram.centred
        if self.grams is None:
            shape = (len(gram), len(self.batch.sites), *gram.shape[1:])
            self.grams = view.rooms.room(self.name, 0, shape, gram)
        self.grams[:, self.seen] = gram
        self.seen += 1

    def finish(self, trace: Trace) -> HsicSums:
        keep = gather_rows(trace.keep.all(0), *self.batch.gram_index).cpu()
        alive, weights = as_list(trace.finite), self.batch.weights
        policies, sites = len(keep), len(self.batch.sites)
        assert self.grams is not None, "no site was seen"
        assert self.seen == sites, f"saw {self.seen} of {sites} sites"
        total = torch.zeros(policies, weights.shape[1], sites, sites, dtype=torch.float64)
        count, skipped = torch.zeros(policies, dtype=torch.int64), torch.zeros(policies, dtype=torch.int64)
        weight = torch.zeros(policies, weights.shape[1], dtype=torch.float64)
        for row in range(len(weights)):
            if not alive[row]:
                continue
            grams = self.grams[row]
            known: dict[bytes, Tensor] = {}
            for p in range(policies):
                mask = keep[p, row]
                if int(mask.sum()) < MIN_ROWS:
                    skipped[p] += 1
                    continue
                key = mask.numpy().tobytes()
                if key not in known:
                    known[key] = centred_hsic(subset(grams, mask.to(grams.device)), self.biased).cpu()
                total[p].addcmul_(weights[row][:, None, None], known[key])
                count[p] += 1
                weight[p] += weights[row]
        return HsicSums(total, count, skipped, weight)
