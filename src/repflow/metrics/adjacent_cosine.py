"""adjacent_cosine: how much the direction of a token's state survives one step of depth."""

from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.tensors import row_dot, row_norm
from repflow.metrics.view import SiteView, masked_mean


@dataclass(frozen=True)
class AdjacentCosine:
    """Mean over tokens of cos(h at the site before, h at this site); in [-1, 1], none at the first site.

    A residual stream holds it near 1 by construction: read it beside update_ratio. `standardised` z-scores both
    sites' features with the calibration set first (Timkey & van Schijndel 2021, arXiv:2109.04404).
    """

    name: str = "adjacent_cosine"
    variants: tuple[str, ...] = ("raw", "standardised")

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        if view.previous is None:
            return {}
        values = {"raw": masked_mean(view.cosine_to_previous, view.keep_step)}
        here, before = view.standardised, view.previous.standardised
        if here is not None and before is not None:
            norms = row_norm(here) * row_norm(before)
            values["standardised"] = masked_mean(row_dot(here, before) / norms, view.keep_step)
        return values
