"""Histograms of positive numbers over many orders of magnitude, whose sums are exact and whose quantiles are close."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

_MANTISSA = 23


@dataclass(frozen=True, slots=True)
class Bins:
    """2^`bits` equal bins in every octave from 2^`low` to 2^`high`, one bin below for less and one above for more.

    A number's bin is the head of its float32 bits: exact, and as cheap as a shift.
    """

    bits: int
    low: int
    high: int

    @property
    def count(self) -> int:
        return ((self.high - self.low) << self.bits) + 2

    def index(self, x: Float32[Tensor, "..."]) -> Int64[Tensor, "..."]:
        """The bin of each number, which must be 0 or more; NaN goes above."""
        head = (x.contiguous().view(torch.int32) >> (_MANTISSA - self.bits)) - self._first + 1
        return head.clamp(0, self.count - 1).long()

    def counts(self, x: Float32[Tensor, "..."]) -> Int64[Tensor, " k"]:
        """How many numbers fall into each bin."""
        return torch.bincount(self.index(x).flatten(), minlength=self.count)

    def edges(self) -> Float64[Tensor, " k_plus_1"]:
        """Where the bins begin and end: the first at 0, the last at infinity."""
        heads = torch.arange(self._first, self._first + self.count - 1, dtype=torch.int32)
        inner = (heads << (_MANTISSA - self.bits)).view(torch.float32).double()
        return torch.cat([inner.new_zeros(1), inner, inner.new_full((1,), math.inf)])

    @property
    def _first(self) -> int:
        """Head of the bits of 2^low."""
        return (self.low + 127) << self.bits


def quantile_bins(weights: Float64[Tensor, "b k r"], at: Sequence[float]) -> Int64[Tensor, "b q r"]:
    """The bin that holds each quantile: the first with at least that share of the weight in or below it."""
    below = weights.cumsum(1)
    found = torch.searchsorted(below.transpose(1, 2).contiguous(), _wanted(below, at).transpose(1, 2).contiguous())
    return found.clamp(max=weights.shape[1] - 1).transpose(1, 2)


def quantiles(weights: Float64[Tensor, "b k r"], at: Sequence[float], bins: Bins) -> Float64[Tensor, "b q r"]:
    """The quantiles, as if the weight of a bin lay evenly in it: off by a bin's width at most, 2^-bits of the value.

    0 below the range, infinity above it.
    """
    found, below, edges = quantile_bins(weights, at), weights.cumsum(1), bins.edges()
    inside = weights.gather(1, found)
    share = (_wanted(below, at) - below.gather(1, found) + inside) / inside
    value = edges[found] + (edges[found + 1] - edges[found]) * share.clamp(0.0, 1.0)
    return torch.where(found == 0, 0.0, torch.where(found == bins.count - 1, math.inf, value))


def _wanted(below: Tensor, at: Sequence[float]) -> Float64[Tensor, "b q r"]:
    return below[:, -1:] * torch.tensor(at, dtype=torch.float64)[:, None]
