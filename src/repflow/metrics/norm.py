"""norm: the size of token states."""

from dataclasses import dataclass

import torch
from torch import Tensor

from repflow.metrics.view import SiteView, masked_mean, masked_median


@dataclass(frozen=True)
class Norm:
    """Euclidean norms of the counted tokens: their mean, median and largest; at least 0, in the model's own units."""

    name: str = "norm"
    variants: tuple[str, ...] = ("mean", "median", "max")

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        norms = view.norm.expand_as(view.keep)
        largest = torch.where(view.keep, norms, -torch.inf).amax(-1)
        return {
            "mean": masked_mean(view.norm, view.keep),
            "median": masked_median(norms, view.keep),
            "max": torch.where(view.keep.any(-1), largest, torch.nan),
        }
