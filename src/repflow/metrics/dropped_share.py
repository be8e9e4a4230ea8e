"""dropped_share: what a token policy leaves out."""

from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class DroppedShare:
    """Share of an example's real tokens that the policy does not count at this site; in [0, 1]."""

    name: str = "dropped_share"
    variants: tuple[str, ...] = ("raw",)

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        return {"raw": 1.0 - view.keep.sum(-1).double() / view.batch.real.sum(-1)}
