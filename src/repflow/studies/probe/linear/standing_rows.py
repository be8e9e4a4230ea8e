"""The two products every probe is made of, over the rows of a site: states times weights, and residuals times states.

On a CPU the states are laid out once for oneDNN, which then multiplies them hundreds of times. Measured on an AMD EPYC
this is 2.4 times as fast as `torch.mm`, whose library leaves the wider vector instructions of that processor unused.
The two operators are those torch's own compiler calls; where they are missing, plain products do the same.
"""

from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Rows(Protocol):
    """The states [s, n, d] of s sites."""

    def logits(self, weights: Float[Tensor, "s k d"]) -> Float[Tensor, "s k n"]:
        """Each row times each of k weights."""
        ...

    def gradient(self, residuals: Float[Tensor, "s k n"]) -> Float[Tensor, "s k d"]:
        """The rows summed with each of k residuals."""
        ...


def rows_of(states: Float[Tensor, "s n d"]) -> Rows:
    """The rows of s sites' states, in the form that multiplies fastest where they are."""
    if states.device.type == "cpu" and states.dtype == torch.float32 and _can_pack():
        return PackedRows([_pack(site) for site in states], [_pack(site.T.contiguous()) for site in states])
    return PlainRows(states)


@dataclass(frozen=True)
class PlainRows:
    states: Float[Tensor, "s n d"]

    def logits(self, weights: Float[Tensor, "s k d"]) -> Float[Tensor, "s k n"]:
        return torch.bmm(weights, self.states.mT)

    def gradient(self, residuals: Float[Tensor, "s k n"]) -> Float[Tensor, "s k d"]:
        return torch.bmm(residuals, self.states)


@dataclass(frozen=True)
class PackedRows:
    states: list[Tensor]
    transposed: list[Tensor]

    def logits(self, weights: Float[Tensor, "s k d"]) -> Float[Tensor, "s k n"]:
        return torch.stack([_times(w, site) for w, site in zip(weights, self.states, strict=True)])

    def gradient(self, residuals: Float[Tensor, "s k n"]) -> Float[Tensor, "s k d"]:
        return torch.stack([_times(r, site) for r, site in zip(residuals, self.transposed, strict=True)])


def _pack(matrix: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(matrix)


def _times(left: Tensor, packed: Tensor) -> Tensor:
    """left @ matrix.T"""
    return torch.ops.mkldnn._linear_pointwise(left, packed, None, "none", [], "")


@cache
def _can_pack() -> bool:
    left, right = torch.eye(2, 8), torch.arange(24.0).view(3, 8)
    try:
        return torch.equal(_times(left, _pack(right)), left @ right.T)
    except (AttributeError, RuntimeError, TypeError):
        return False
