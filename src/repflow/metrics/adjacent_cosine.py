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

    A residual stream holds it near 1 by construction: read it beside update_ratio. `centred` takes each site's mean
    over the calibration set off first, `standardised` also divides each feature by its spread there (Timkey & van
    Schijndel 2021, arXiv:2109.04404).
    """

    name: str = "adjacent_cosine"
    variants: tuple[str, ...] = ("raw", "centred", "standardised")

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        if view.previous is None:
            return {}
        cosines: dict[str, Tensor] = {}
        for variant, here in view.offset_free.items():
            before = view.previous.offset_free[variant]
            cosines[variant] = row_dot(here.states, before.states).double() / (
                here.norm.double() * before.norm.double()
            )
        return cosines

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        # By way of the step, which keeps its digits where the two states are close.
        dot = trace.previous_norm.square() + trace.step_dot_previous
        cosines = {"raw": (dot / (trace.previous_norm * trace.norm)).clamp(-1.0, 1.0), **collected}
        return {variant: masked_mean(cosine, trace.keep_step) for variant, cosine in cosines.items()}
