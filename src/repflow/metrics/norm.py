"""norm: the size of token states."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from repflow.metrics.metric import FromTrace
from repflow.metrics.trace import Trace, masked_mean
from repflow.metrics.view import masked_median


@dataclass(frozen=True)
class Norm(FromTrace):
    """Euclidean norms of the counted tokens: their mean, median and largest; at least 0, in the model's own units."""

    name: str = "norm"
    variants: tuple[str, ...] = ("mean", "median", "max")

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        del collected
        norms, keep = trace.norm[:, None].expand_as(trace.keep), trace.keep
        largest = torch.where(keep, norms, -torch.inf).amax(-1)
        return {
            "mean": masked_mean(trace.norm, keep),
            "median": masked_median(norms, keep),
            "max": torch.where(keep.any(-1), largest, torch.nan),
        }
