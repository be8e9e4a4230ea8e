"""update_cosine: whether a block's update adds to, turns or takes from the state it starts from."""

from dataclasses import dataclass

from torch import Tensor

from repflow.metrics.view import SiteView, masked_mean


@dataclass(frozen=True)
class UpdateCosine:
    """Mean over tokens of cos(h_prev, h - h_prev); in [-1, 1], none at the first site or where either is zero."""

    name: str = "update_cosine"
    variants: tuple[str, ...] = ("raw",)

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        if view.previous is None:
            return {}
        cosine = view.step_dot_previous / (view.previous.norm * view.step_norm)
        return {"raw": masked_mean(cosine, view.keep_step)}
