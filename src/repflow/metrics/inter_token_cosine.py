"""inter_token_cosine: how alike the tokens of one sequence are at a site."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView, unit_weights


@dataclass(frozen=True)
class InterTokenCosine:
    """Mean cosine over all pairs of counted tokens; in [-1/(n-1), 1], NaN below two tokens.

    Exact in O(n d): (||sum of unit rows||^2 - n) / (n (n-1)); the n x n matrix is never built. `centred` takes the
    calibration set's mean off first, `standardised` also divides each feature by its spread there; never the sequence's
    own mean, which would force -1/(n-1) (Timkey & van Schijndel 2021, arXiv:2109.04404). `raw` far above `centred` says
    that tokens share an offset, of whatever form; which features carry it is told by feature_share alone.
    """

    name: str = "inter_token_cosine"
    variants: tuple[str, ...] = ("raw", "centred", "standardised")

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        found = {"raw": square_and_count(view.sum_of_units, view.norm, view.keep)}
        for variant, rows in view.offset_free.items():
            total = unit_weights(rows.norm, view.keep) @ rows.states
            found[variant] = square_and_count(total, rows.norm, view.keep)
        return found

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del trace
        return {variant: mean_cosine(found[..., 0], found[..., 1]) for variant, found in collected.items()}


def square_and_count(
    total: Float32[Tensor, "n p d"], norm: Float32[Tensor, "n t"], keep: Bool[Tensor, "p n t"]
) -> Float64[Tensor, "p n 2"]:
    """The squared norm of the sum of unit rows, and their number: rows of norm 0 have no direction."""
    count = (keep & (norm > 0)).sum(-1).double()
    return torch.stack([total.double().square().sum(-1).T, count], -1)


def mean_cosine(square: Tensor, count: Tensor) -> Tensor:
    """From the squared norm of a sum of unit rows and their number."""
    return (square - count) / (count * (count - 1))
