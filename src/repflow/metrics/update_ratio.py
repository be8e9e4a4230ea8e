"""update_ratio: how large a block's update is beside what it updates."""

from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.view import SiteView, masked_mean


@dataclass(frozen=True)
class UpdateRatio:
    """Mean over tokens of ||h - h_prev|| / ||h_prev||; at least 0, none at the first site or where h_prev is zero."""

    name: str = "update_ratio"
    variants: tuple[str, ...] = ("raw",)

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        if view.previous is None:
            return {}
        return {"raw": masked_mean(view.step_norm / view.previous.norm, view.keep_step)}
