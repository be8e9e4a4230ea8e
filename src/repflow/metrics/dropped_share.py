"""dropped_share: what a token policy leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.metric import FromTrace
from repflow.metrics.trace import Trace


@dataclass(frozen=True)
class DroppedShare(FromTrace):
    """Share of an example's real tokens that the policy does not count at a site; in [0, 1]."""

    name: str = "dropped_share"
    variants: tuple[str, ...] = ("raw",)

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del collected
        return {"raw": 1.0 - trace.keep.sum(-1).double() / trace.batch.real.sum(-1)}
