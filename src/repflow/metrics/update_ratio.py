"""update_ratio: how large a block's update is beside what it updates."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.metric import FromTrace
from repflow.metrics.trace import Trace, masked_mean


@dataclass(frozen=True)
class UpdateRatio(FromTrace):
    """Mean over tokens of ||h - h_prev|| / ||h_prev||; at least 0, none at the first site or where h_prev is zero."""

    name: str = "update_ratio"
    variants: tuple[str, ...] = ("raw",)

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del collected
        return {"raw": masked_mean(trace.step_norm / trace.previous_norm, trace.keep_step)}
