"""inter_token_cosine: how alike the tokens of one sequence are at a site."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView, unit_weights


@dataclass(frozen=True)
class InterTokenCosine:
    """Mean cosine over all pairs of counted tokens; in [-1/(n-1), 1], NaN below two tokens.

    Exact in O(n d): (||sum of unit rows||^2 - n) / (n (n-1)); the n x n matrix is never built. `standardised`
    z-scores features with the calibration set first, never with the sequence's own mean, which would force -1/(n-1).
    """

    name: str = "inter_token_cosine"
    variants: tuple[str, ...] = ("raw", "standardised")

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        sums = {"raw": sum_of_units(view.states, unit_weights(view.norm, view.keep))}
        if view.standardised is not None and view.standardised_norm is not None:
            sums["standardised"] = sum_of_units(view.standardised, unit_weights(view.standardised_norm, view.keep))
        return sums

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del trace
        return {variant: _mean_cosine(found[..., 0], found[..., 1]) for variant, found in collected.items()}


def sum_of_units(states: Float32[Tensor, "n t d"], weights: Float32[Tensor, "n p t"]) -> Float32[Tensor, "p n 2"]:
    """The squared norm of the sum of the rows that `weights` turns into unit vectors, and their number."""
    square = (weights @ states).square().sum(-1)
    return torch.stack([square, (weights > 0).sum(-1).float()], -1).transpose(0, 1)


def _mean_cosine(square: Tensor, count: Tensor) -> Tensor:
    square, count = square.double(), count.double()
    return (square - count) / (count * (count - 1))
