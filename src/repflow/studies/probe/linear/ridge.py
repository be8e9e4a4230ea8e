"""Ridge regression in closed form, its strength chosen by grouped cross-validation inside the training split."""

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

STRENGTHS = tuple(10.0**k for k in range(-4, 4))
"""Tried, an example of z-scored features."""
_RANK = 1e-10


def ridge(
    states: Float64[Tensor, "n d"],
    targets: Float64[Tensor, "t n e"],
    train: Bool[Tensor, " n"],
    folds: Int64[Tensor, " n"],
) -> tuple[Float64[Tensor, "t n e"], list[float]]:
    """Predicts the targets of all rows by a linear map with an intercept, fitted on the training rows alone.

    Returns the predictions and the strength of each of the t tasks. The strength has the least squared error over folds
    of the training rows, of which it is exact: what is held out is found from the fit of all (leave-out formula of
    linear smoothers). Cost: one eigendecomposition of size min(n, d).
    Source: Hastie, Tibshirani & Friedman 2009, 3.4.1 and 7.10.
    """
    states = states - states[train].mean(0)
    scores = states @ _basis(states[train])
    own, known = scores[train], targets[:, train]
    middle = known.mean(1, keepdim=True)
    apart, power = known - middle, own.square().sum(0)
    projected = own.T @ apart
    fold = folds[train]
    errors = [_held_out(own, power + s * len(own), apart, projected, fold) for s in STRENGTHS]
    best = [int(i) for i in torch.stack(errors).argmin(0)]
    chosen = [STRENGTHS[i] for i in best]
    shrunk = torch.stack([projected[t] / (power + s * len(own))[:, None] for t, s in enumerate(chosen)])
    return middle + scores @ shrunk, chosen


def _basis(rows: Float64[Tensor, "m d"]) -> Float64[Tensor, "d k"]:
    """Directions along which the rows are uncorrelated, those without any variance left out."""
    wide = rows.shape[1] > rows.shape[0]
    power, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = power > _RANK * power.clamp_min(0).amax().clamp_min(1e-300)
    power, vectors = power[kept], vectors[:, kept]
    return rows.T @ vectors / power.sqrt() if wide else vectors


def _held_out(
    own: Float64[Tensor, "m k"],
    ridged: Float64[Tensor, " k"],
    apart: Float64[Tensor, "t m e"],
    projected: Float64[Tensor, "t k e"],
    fold: Int64[Tensor, " m"],
) -> Float[Tensor, " t"]:
    """Squared error of each task on rows whose fold was left out of the fit."""
    left = apart - own @ (projected / ridged[:, None])
    total = left.new_zeros(len(apart))
    for number in fold.unique():
        rows = own[fold == number]
        hat = (rows / ridged) @ rows.T + 1 / len(own)
        away = torch.linalg.solve(
            torch.eye(len(rows), dtype=hat.dtype, device=hat.device) - hat, left[:, fold == number]
        )
        total += away.square().sum((1, 2))
    return total
