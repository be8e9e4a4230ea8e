"""offset_cosine: likeness of tokens a given distance apart."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from repflow.metrics.tensors import row_dot
from repflow.metrics.trace import Trace, masked_mean
from repflow.metrics.view import SiteView

LONGEST = 2**15


@dataclass(frozen=True)
class OffsetCosine:
    """Mean over t of cos(h_t, h_{t+k}) for k = 1, 2, 4 .. up to half the tokens; in [-1, 1].

    Falling with k says that homogenisation is local, flat says global. Pairs with an uncounted end are left out.
    """

    name: str = "offset_cosine"
    offsets: tuple[int, ...] = tuple(2**i for i in range(LONGEST.bit_length()))

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(f"k={k}" for k in self.offsets)

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        states, half = view.states, view.states.shape[1] // 2
        return {f"k={k}": row_dot(states[:, :-k], states[:, k:]) for k in self.offsets if k <= half}

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        half = trace.batch.real.sum(1) // 2
        values: dict[str, Tensor] = {}
        for k in self.offsets:
            if f"k={k}" not in collected:
                break
            cosines = collected[f"k={k}"].double() / (trace.norm[..., :-k] * trace.norm[..., k:])
            mean = masked_mean(cosines, trace.keep[..., :-k] & trace.keep[..., k:])
            values[f"k={k}"] = torch.where(half >= k, mean, torch.nan)
        return values
