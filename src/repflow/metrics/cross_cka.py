"""cka between two models, with a permutation null that says how much likeness chance alone gives."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from repflow.core import NotEnoughData
from repflow.metrics.bootstrap import poisson_weights
from repflow.metrics.example_rows import Grams
from repflow.metrics.hsic import cka, hsic, u_centre
from repflow.metrics.tensors import as_list, as_tensor
from repflow.metrics.token_cka import MIN_ROWS
from repflow.metrics.token_grams import GramBank

ALPHA = 0.05
MIN_SEQUENCES = 5
"""Of fewer there are at most 9 derangements: too few to reach the level alpha."""
MIN_PERMUTATIONS = 19
"""Fewer cannot reach the level alpha."""
_NULL_STREAM = 0x6E756C6C


@dataclass(frozen=True)
class CrossCka:
    """CKA of every site of one model with every site of another."""

    value: Float64[Tensor, "r a b"]
    """Replicates behind the estimate."""
    threshold: Float64[Tensor, "a b"]
    """tau: what permuted sequences reach; NaN where too few sequences allow a null."""
    n: int
    """Resampling units."""

    def calibrated(self) -> Float64[Tensor, "r a b"]:
        """clip((s - tau) / (1 - tau), 0, 1): 0 is no more than chance, 1 is identity (Groeger et al. 2026)."""
        return ((self.value - self.threshold) / (1.0 - self.threshold)).clamp(0.0, 1.0)


def cross_token_cka(a: GramBank, b: GramBank, policy: int, seed: int, replicates: int, permutations: int) -> CrossCka:
    """Token CKA between two models that read the same tokens; blocks are examples.

    A row counts if it counts in both models; examples of fewer than 4, or than half the usual number, are left out.
    The null pairs each sequence with another one's, never with its own, the same derangement at every site: a sequence
    left in place would add about CKA / n to the null. Tokens themselves are never permuted, since they are correlated
    within a sequence. So that the positions stay paired, all examples give the
    positions that count in every one of them; where those are less than half there is no null.
    """
    a, b = _shared(a, b)
    keep = a.keep[:, policy] & b.keep[:, policy]
    counts = keep.sum(-1)
    least = max(MIN_ROWS, int(counts.median()) // 2) if len(counts) else MIN_ROWS
    used = counts >= least
    if not bool(used.any()):
        raise NotEnoughData(f"cka between models needs examples of at least {MIN_ROWS} tokens that count in both")
    index, paired = _positions(keep[used], least)
    rows = index.shape[1]
    left = torch.stack([u_centre(g[:, i][:, :, i]) for g, i in zip(a.grams[used], index, strict=True)])
    right = torch.stack([u_centre(g[:, i][:, :, i]) for g, i in zip(b.grams[used], index, strict=True)])
    orders = derangements(seed, len(left), permutations if paired and len(left) >= MIN_SEQUENCES else 0)
    flat = left.flatten(2)
    nulls = [(flat @ right[order].flatten(2).mT).double().sum(0) / (rows * (rows - 3)) for order in orders]
    return _result(left, right, nulls, a.ids[used], seed, replicates)


def cross_example_cka(a: Grams, b: Grams, seed: int, replicates: int, permutations: int) -> CrossCka:
    """Example CKA between any two models; blocks are 64 examples, the null deranges examples within blocks."""
    found = _shared_blocks(a, b)
    usable = [k for k, (left, _) in found.items() if left.shape[-1] >= MIN_ROWS]
    if not usable:
        raise NotEnoughData("cka between models needs a block of at least 4 examples that both have measured")
    left = [u_centre(found[k][0]) for k in usable]
    right = [u_centre(found[k][1]) for k in usable]
    blocks = torch.tensor(usable)
    nulls: list[Tensor] = []
    enough = max(g.shape[-1] for g in left) >= MIN_SEQUENCES
    for draw in range(permutations if enough else 0):
        shuffled = [g[:, i][:, :, i] for g, i in zip(right, _within(seed, draw, right), strict=True)]
        nulls.append(_total(left, shuffled))
    return _result(left, right, nulls, blocks, seed, replicates)


def _within(seed: int, draw: int, blocks: list[Tensor]) -> list[Tensor]:
    return [derangements(seed + 7919 * draw, g.shape[-1], 1)[0] for g in blocks]


def _total(left: Tensor | list[Tensor], right: Tensor | list[Tensor]) -> Float64[Tensor, "a b"]:
    return torch.stack([hsic(x, y) for x, y in zip(left, right, strict=True)]).sum(0)


def _result(
    left: Tensor | list[Tensor],
    right: Tensor | list[Tensor],
    nulls: list[Float64[Tensor, "a b"]],
    units: Int64[Tensor, " n"],
    seed: int,
    replicates: int,
) -> CrossCka:
    weights = poisson_weights(seed, tuple(as_list(units)), replicates)
    cross = _weighted([hsic(x, y) for x, y in zip(left, right, strict=True)], weights)
    own_left = _weighted([_own(x) for x in left], weights)
    own_right = _weighted([_own(y) for y in right], weights)
    value = cka(cross, own_left, own_right)
    null = [cka(total, own_left[0], own_right[0]) for total in nulls]
    return CrossCka(value, _threshold(value[0], null), len(weights))


def _own(grams: Float32[Tensor, "s n n"]) -> Float64[Tensor, " s"]:
    return hsic(grams, grams).diagonal()


def _weighted(blocks: list[Tensor], weights: Float64[Tensor, "n r"]) -> Float64[Tensor, "r *s"]:
    return torch.einsum("nr,n...->r...", weights, torch.stack(blocks))


def _threshold(observed: Float64[Tensor, "a b"], nulls: list[Tensor]) -> Float64[Tensor, "a b"]:
    """The order statistic ceil((1 - alpha)(K + 1)) of the observed value and the K nulls; NaN without enough nulls."""
    if len(nulls) < MIN_PERMUTATIONS:
        return torch.full_like(observed, torch.nan)
    ordered = torch.stack([observed, *nulls]).sort(0).values
    return ordered[math.ceil((1 - ALPHA) * len(ordered)) - 1]


def derangements(seed: int, n: int, count: int) -> Int64[Tensor, "k n"]:
    """Permutations of n that leave nothing in place, each equally likely; none exist for n = 1."""
    assert n > 1 or not count, "one sequence cannot change places"
    key = np.array([_NULL_STREAM, seed], dtype=np.int64).view(np.uint64)
    stream = np.random.Philox(key=key)
    found = np.empty((0, n), np.int64)
    while len(found) < count:  # about one permutation in e is a derangement
        draws = np.argsort(stream.random_raw(4 * count * n).reshape(-1, n), axis=1, kind="stable")
        found = np.concatenate([found, draws[(draws != np.arange(n)).all(1)]])
    return as_tensor(found[:count])


def _positions(keep: Bool[Tensor, "n m"], least: int) -> tuple[Int64[Tensor, "n k"], bool]:
    """Which rows each example gives, as many from each, and whether they are the same ones."""
    common = keep.all(0)
    if int(common.sum()) >= least:
        return common.nonzero()[:, 0].expand(len(keep), -1), True
    rows = int(keep.sum(-1).min())
    return torch.stack([mask.nonzero()[:rows, 0] for mask in keep]), False


def _shared(a: GramBank, b: GramBank) -> tuple[GramBank, GramBank]:
    """The examples that both have, by id: one that was left out of either is out."""
    in_a, in_b = torch.isin(a.ids, b.ids), torch.isin(b.ids, a.ids)
    if not bool(in_a.any()):
        raise NotEnoughData("cka between models needs examples that both have measured")
    return (
        GramBank(a.ids[in_a], a.grams[in_a], a.keep[in_a]),
        GramBank(b.ids[in_b], b.grams[in_b], b.keep[in_b]),
    )


def _shared_blocks(a: Grams, b: Grams) -> dict[int, tuple[Tensor, Tensor]]:
    """Both models' Grams of every block, over the examples that both have."""
    blocks_a, blocks_b = a.by_block(), b.by_block()
    shared: dict[int, tuple[Tensor, Tensor]] = {}
    for number in sorted(blocks_a.keys() & blocks_b.keys()):
        (ids_a, gram_a), (ids_b, gram_b) = blocks_a[number], blocks_b[number]
        ids = sorted({*ids_a} & {*ids_b})
        place_a = torch.tensor([ids_a.index(i) for i in ids], dtype=torch.int64)
        place_b = torch.tensor([ids_b.index(i) for i in ids], dtype=torch.int64)
        shared[number] = gram_a[:, place_a][:, :, place_a], gram_b[:, place_b][:, :, place_b]
    return shared
