"""update_cosine: whether a block's update adds to, turns or takes from the state it starts from."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.metric import FromTrace
from repflow.metrics.trace import Trace, masked_mean


@dataclass(frozen=True)
class UpdateCosine(FromTrace):
    """Mean over tokens of cos(h_prev, h - h_prev); in [-1, 1], none at the first site or where either is zero."""

    name: str = "update_cosine"
    variants: tuple[str, ...] = ("raw",)

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del collected
        cosine = trace.step_dot_previous / (trace.previous_norm * trace.step_norm)
        return {"raw": masked_mean(cosine, trace.keep_step)}
