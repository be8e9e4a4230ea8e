"""dropped_share: what a token policy leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.trace import Trace
from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class DroppedShare:
    """Share of an example's real tokens that the policy does not count at a site; in [0, 1]."""

    name: str = "dropped_share"
    variants: tuple[str, ...] = ("raw",)

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        del view
        return {}

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del collected
        return {"raw": 1.0 - trace.keep.sum(-1).double() / trace.batch.real.sum(-1)}
