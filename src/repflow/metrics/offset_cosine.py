"""offset_cosine: likeness of tokens a given distance apart."""

from dataclasses import dataclass

import torch
from torch import Tensor

from repflow.metrics.tensors import row_dot
from repflow.metrics.view import SiteView, masked_mean

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

    def measure(self, view: SiteView) -> dict[str, Tensor]:
        half = view.batch.real.sum(1) // 2
        values: dict[str, Tensor] = {}
        for k in self.offsets:
            if 2 * k > view.states.shape[1]:
                break
            dots = row_dot(view.states[:, :-k], view.states[:, k:])
            cosines = dots / (view.norm[:, :-k] * view.norm[:, k:])
            mean = masked_mean(cosines, view.keep[:, :, :-k] & view.keep[:, :, k:])
            values[f"k={k}"] = torch.where(half >= k, mean, torch.nan)
        return values
