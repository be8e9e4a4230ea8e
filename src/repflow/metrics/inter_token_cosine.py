"""inter_token_cosine: how alike the tokens of one sequence are at a site."""

from dataclasses import dataclass

from jaxtyping import Float32, Float64
from torch import Tensor

from repflow.metrics.view import SiteView, unit_weights


@dataclass(frozen=True)
class InterTokenCosine:
    """Mean cosine over all pairs of counted tokens; in [-1/(n-1), 1], NaN below two tokens.

    Exact in O(n d): (||sum of unit rows||^2 - n) / (n (n-1)); the n x n matrix is never built. `standardised`
    z-scores features with the calibration set first, never with the sequence's own mean, which would force -1/(n-1).
    """

    name: str = "inter_token_cosine"
    variants: tuple[str, ...] = ("raw", "standardised")

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        values = {"raw": mean_pair_cosine(view.states, unit_weights(view.norm, view.keep))}
        if view.standardised is not None and view.standardised_norm is not None:
            weights = unit_weights(view.standardised_norm, view.keep)
            values["standardised"] = mean_pair_cosine(view.standardised, weights)
        return values


def mean_pair_cosine(states: Float32[Tensor, "n t d"], weights: Float32[Tensor, "n p t"]) -> Float64[Tensor, "p n"]:
    """Mean cosine over pairs of the rows that `weights` turns into unit vectors."""
    count = (weights > 0).sum(-1).double()
    total = (weights @ states).double().square().sum(-1)
    return ((total - count) / (count * (count - 1))).T
