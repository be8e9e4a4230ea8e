"""cka between two models, with a permutation null that says how much likeness chance alone gives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from repflow.core import NotEnoughData
from repflow.metrics.bootstrap import poisson_weights
from repflow.metrics.example_rows import Grams, unit_of
from repflow.metrics.hsic import cka, hsic, u_centre
from repflow.metrics.tensors import as_list, as_tensor
from repflow.metrics.token_cka import MIN_ROWS
from repflow.metrics.token_grams import GramBank
from repflow.metrics.weighted_hsic import of_block, weighted_hsic, weighted_own_hsic

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
    examples: int
    """Examples in which they were seen."""

    def calibrated(self) -> Float64[Tensor, "r a b"]:
        """clip((s - tau) / (1 - tau), 0, 1): 0 is no more than chance, 1 is identity (Groeger et al. 2026)."""
        return ((self.value - self.threshold) / (1.0 - self.threshold)).clamp(0.0, 1.0)


def cross_token_cka(
    a: GramBank,
    b: GramBank,
    policy: int,
    seed: int,
    replicates: int,
    permutations: int,
    units: Mapping[int, int] | None = None,
) -> CrossCka:
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
    own = unit_of(as_list(a.ids[used]), units)
    weights = poisson_weights(seed, own, replicates)
    cross = _weighted([hsic(x, y) for x, y in zip(left, right, strict=True)], weights)
    own_left, own_right = (_weighted([hsic(x, x).diagonal() for x in side], weights) for side in (left, right))
    return _result(cross, own_left, own_right, nulls, own)


def cross_example_cka(
    a: Grams, b: Grams, seed: int, replicates: int, permutations: int, units: Mapping[int, int] | None = None
) -> CrossCka:
    """Example CKA between any two models; blocks are 64 examples, the null deranges examples within blocks."""
    found = _shared_blocks(a, b)
    usable = [(ids, x, y) for ids, x, y in found if len(ids) >= MIN_ROWS]
    if not usable:
        raise NotEnoughData("cka between models needs a block of at least 4 examples that both have measured")
    left = [u_centre(x) for _, x, _ in usable]
    right = [u_centre(y) for _, _, y in usable]
    nulls: list[Tensor] = []
    enough = max(g.shape[-1] for g in left) >= MIN_SEQUENCES
    for draw in range(permutations if enough else 0):
        shuffled = [g[:, i][:, :, i] for g, i in zip(right, _within(seed, draw, right), strict=True)]
        nulls.append(_total(left, shuffled))
    own = [unit_of(ids, units) for ids, _, _ in usable]
    parts: list[tuple[Tensor, ...]] = []
    for of_examples, (_, x, y) in zip(own, usable, strict=True):
        weights = poisson_weights(seed, of_examples, replicates)
        sums = weighted_hsic(x, y, weights), weighted_own_hsic(x, weights), weighted_own_hsic(y, weights)
        parts.append(tuple(of_block(each, weights) for each in sums))
    cross, own_left, own_right = (torch.stack(each).sum(0) for each in zip(*parts, strict=True))
    return _result(cross, own_left, own_right, nulls, [unit for of_examples in own for unit in of_examples])


def _within(seed: int, draw: int, blocks: list[Tensor]) -> list[Tensor]:
    return [derangements(seed + 7919 * draw, g.shape[-1], 1)[0] for g in blocks]


def _total(left: Tensor | list[Tensor], right: Tensor | list[Tensor]) -> Float64[Tensor, "a b"]:
    return torch.stack([hsic(x, y) for x, y in zip(left, right, strict=True)]).sum(0)


def _result(
    cross: Float64[Tensor, "r a b"],
    own_left: Float64[Tensor, "r a"],
    own_right: Float64[Tensor, "r b"],
    nulls: list[Float64[Tensor, "a b"]],
    own: Sequence[int],
) -> CrossCka:
    """`own` is the unit of each example used."""
    value = cka(cross, own_left, own_right)
    null = [cka(total, own_left[0], own_right[0]) for total in nulls]
    return CrossCka(value, _threshold(value[0], null), len(set(own)), len(own))


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


def _shared_blocks(a: Grams, b: Grams) -> list[tuple[tuple[int, ...], Tensor, Tensor]]:
    """The ids of the examples of every block that both models have, and both models' Grams over them."""
    blocks_a, blocks_b = a.by_block(), b.by_block()
    shared: list[tuple[tuple[int, ...], Tensor, Tensor]] = []
    for number in sorted(blocks_a.keys() & blocks_b.keys()):
        (ids_a, gram_a), (ids_b, gram_b) = blocks_a[number], blocks_b[number]
        ids = tuple(sorted({*ids_a} & {*ids_b}))
        place_a = torch.tensor([ids_a.index(i) for i in ids], dtype=torch.int64)
        place_b = torch.tensor([ids_b.index(i) for i in ids], dtype=torch.int64)
        shared.append((ids, gram_a[:, place_a][:, :, place_a], gram_b[:, place_b][:, :, place_b]))
    return shared
