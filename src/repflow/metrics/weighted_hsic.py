"""HSIC_1 of rows that carry bootstrap weights: that of a resample, without pairs of a row with itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from repflow.metrics.hsic import u_centre

LEAST_ROWS = 4


def weighted_hsic(
    a: Float32[Tensor, "s n n"], b: Float32[Tensor, "z n n"], weights: Float64[Tensor, "n r"]
) -> Float64[Tensor, "r s z"]:
    """HSIC_1 of every pair of Grams for each column of weights; at weights of 1 the debiased HSIC of `hsic`.

    The mean over quadruples of distinct rows of K_ij L_ij - 2 K_ij L_iq + K_ij L_qr, each counted w_i w_j w_q w_r
    times. A row drawn twice makes no pair with its copy, so the mean over replicates is about the estimate, where a
    resampled Gram matrix would add the likeness of rows to themselves. The Grams' centre does not matter.
    NaN where fewer than 4 rows weigh something. Cost: r products [s, n^2] x [n^2, z].
    Source: the U-statistic of Song et al. 2012, weighted as in Janssen 1994.
    """
    x, y = (_centred(grams) for grams in (a, b))
    out = torch.full((weights.shape[1], len(x), len(y)), torch.nan, dtype=torch.float64)
    flat = y.flatten(1).mT
    rows_x, rows_y = x @ weights, y @ weights
    squares_x, squares_y = x @ weights.square(), y @ weights.square()
    for column, terms in _terms(weights):
        of_x, of_y = rows_x[..., column], rows_y[..., column]
        total = (x * terms.by_pair).flatten(1) @ flat + (of_x * terms.by_row) @ of_y.mT
        for one, other in ((squares_x[..., column], of_y), (of_x, squares_y[..., column])):
            total += 2 * (one * terms.weights) @ other.mT
        out[column] = (total + torch.outer(of_x @ terms.weights, of_y @ terms.weights)) / terms.quadruples
    return out


def weighted_own_hsic(grams: Float32[Tensor, "s n n"], weights: Float64[Tensor, "n r"]) -> Float64[Tensor, "r s"]:
    """HSIC_1 of each Gram with itself: the diagonal of `weighted_hsic`, without the rest."""
    x = _centred(grams)
    out = torch.full((weights.shape[1], len(x)), torch.nan, dtype=torch.float64)
    by_pair, rows, squares = x.square().flatten(1), x @ weights, x @ weights.square()
    for column, terms in _terms(weights):
        of_x = rows[..., column]
        total = by_pair @ terms.by_pair.flatten() + of_x.square() @ terms.by_row
        total += 4 * (squares[..., column] * of_x) @ terms.weights
        out[column] = (total + (of_x @ terms.weights).square()) / terms.quadruples
    return out


def of_block(hsics: Float64[Tensor, "r *s"], weights: Float64[Tensor, "n r"]) -> Float64[Tensor, "r *s"]:
    """What a block adds to sums over blocks: its HSICs times the mean weight of its rows; nothing with too few rows."""
    return torch.einsum("r,r...->r...", weights.mean(0), hsics).nan_to_num(0.0)


@dataclass(frozen=True)
class _Terms:
    """What the sums over distinct rows come to, by inclusion and exclusion, for one column of weights w."""

    weights: Float64[Tensor, " n"]
    by_pair: Float64[Tensor, "n n"]
    """Factor of K_ij L_ij."""
    by_row: Float64[Tensor, " n"]
    """Factor of (Kw)_i (Lw)_i."""
    quadruples: Float64[Tensor, ""]
    """Weight of all quadruples of distinct rows."""


def _terms(columns: Float64[Tensor, "n r"]) -> Iterator[tuple[int, _Terms]]:
    """Of the columns with enough rows."""
    for column, w in enumerate(columns.unbind(1)):
        if int((w > 0).sum()) < LEAST_ROWS:
            continue
        p1, p2, p3, p4 = (w.pow(k).sum() for k in (1, 2, 3, 4))
        one, other = w[:, None], w[None]
        rest = (p1 - one - other).square() - (p2 - one.square() - other.square())
        by_pair = one * other * (rest + 2 * (p1 - one) * other - 4 * other.square() + 2 * one * other)
        by_row = -2 * w * (p1 - w) - 4 * w.square()
        quadruples = p1**4 - 6 * p1**2 * p2 + 3 * p2**2 + 8 * p1 * p3 - 6 * p4
        yield column, _Terms(w, by_pair, by_row, quadruples)


def _centred(grams: Float32[Tensor, "s n n"]) -> Float64[Tensor, "s n n"]:
    """U-centred in float64, so that no sum is larger than need be: the means nearly cancel."""
    return u_centre(grams.double())
