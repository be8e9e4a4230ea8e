"""dropped_share: what a token policy leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from repflow.metrics.metric import FromTrace
from repflow.metrics.trace import Trace


@dataclass(frozen=True)
class DroppedShare(FromTrace):
    """Share of an example's real tokens that the policy does not count at a site; in [0, 1].

    None under `all`, which counts every real token by definition: a 0 that no text could change needs no measuring.
    """

    name: str = "dropped_share"
    variants: tuple[str, ...] = ("raw",)

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del collected
        dropped = 1.0 - trace.keep.sum(-1).double() / trace.batch.real.sum(-1)
        dropped[:, [policy == "all" for policy in trace.batch.options.policies]] = torch.nan
        return {"raw": dropped}
