"""adjacent_cosine: how much the direction of a token's state survives one step of depth."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.tensors import row_dot
from repflow.metrics.trace import Trace, masked_mean
from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class AdjacentCosine:
    """Mean over tokens of cos(h at the site before, h at this site); in [-1, 1], none at the first site.

    A residual stream holds it near 1 by construction: read it beside update_ratio. `standardised` z-scores both
    sites' features with the calibration set first (Timkey & van Schijndel 2021, arXiv:2109.04404).
    """

    name: str = "adjacent_cosine"
    variants: tuple[str, ...] = ("raw", "standardised")

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        if view.previous is None or view.standardised is None or view.previous.standardised is None:
            return {}
        here, before = view.standardised, view.previous.standardised
        assert view.standardised_norm is not None, "standardised states have norms"
        assert view.previous.standardised_norm is not None, "standardised states have norms"
        norms = view.standardised_norm.double() * view.previous.standardised_norm.double()
        return {"standardised": row_dot(here, before).double() / norms}

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        # By way of the step, which keeps its digits where the two states are close.
        dot = trace.previous_norm.square() + trace.step_dot_previous
        cosines = {"raw": (dot / (trace.previous_norm * trace.norm)).clamp(-1.0, 1.0), **collected}
        return {variant: masked_mean(cosine, trace.keep_step) for variant, cosine in cosines.items()}
