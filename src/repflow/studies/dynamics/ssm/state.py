"""What a streaming pass knows of the transitions of all mixers: sums over examples, with bootstrap replicates."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from repflow.studies.dynamics.ssm.observed import Observed


@dataclass(frozen=True, eq=False)
class TransitionState:
    """Sums over examples of every mixer, b of them; r = 1 + replicates. States merge in any order.

    Units are padded with NaN where mixers differ in how many they have.
    """

    spread: Float64[Tensor, "b k r"]
    total: Float64[Tensor, "b r"]
    near_one: Float64[Tensor, "b r"]
    horizon: Float64[Tensor, "b h r"]
    product: Float64[Tensor, "b l r"]
    product_weight: Float64[Tensor, "b l r"]
    windows: Int64[Tensor, "b l"]
    every_window: Int64[Tensor, "b l"]
    state_mean: Float64[Tensor, "b r"]
    weight: Float64[Tensor, " r"]
    looked: Int64[Tensor, " b"]
    rate_low: Float64[Tensor, "b u"]
    rate_high: Float64[Tensor, " b"]
    window_low: Float64[Tensor, "b l"]
    input_high: Float64[Tensor, "b u"]
    state_high: Float64[Tensor, "b u"]
    examples: int

    def merge(self, other: "TransitionState") -> "TransitionState":
        """The state of both."""
        names = (f.name for f in fields(self))
        joined: dict[str, Any] = {
            name: _RULES.get(name, operator.add)(getattr(self, name), getattr(other, name)) for name in names
        }
        return TransitionState(**joined)


_RULES: dict[str, Callable[[Any, Any], Any]] = {
    "rate_low": torch.fmin,
    "window_low": torch.fmin,
    "rate_high": torch.fmax,
    "input_high": torch.fmax,
    "state_high": torch.fmax,
}
"""Every other field is a sum."""


def summed(seen: Sequence[Observed], weights: Float64[Tensor, "n r"], finite: Bool[Tensor, " n"]) -> TransitionState:
    """The state of one batch. Examples that are not finite are left out."""
    kept = [_only(one, finite) for one in seen]
    weights = weights[finite]
    units = max(one.rate_low.shape[1] for one in kept)
    product = torch.stack([one.product for one in kept])
    return TransitionState(
        spread=torch.stack([one.spread.double().T @ weights for one in kept]),
        total=torch.stack([one.total @ weights for one in kept]),
        near_one=torch.stack([one.near_one.double() @ weights for one in kept]),
        horizon=torch.stack([one.horizon.double().T @ weights for one in kept]),
        product=product.nan_to_num(0.0).mT @ weights,
        product_weight=(~product.isnan()).double().mT @ weights,
        windows=torch.stack([one.windows.sum(0) for one in kept]),
        every_window=torch.stack([one.every_window.sum(0) for one in kept]),
        state_mean=torch.stack([one.state_mean @ weights for one in kept]),
        weight=weights.sum(0),
        looked=torch.stack([one.looked.sum() for one in kept]),
        rate_low=torch.stack([_padded(_least(one.rate_low), units) for one in kept]),
        rate_high=torch.stack([_most(one.rate_high) for one in kept]),
        window_low=torch.stack([_least(one.window_low) for one in kept]),
        input_high=torch.stack([_padded(_most(one.input_high), units) for one in kept]),
        state_high=torch.stack([_padded(_most(one.state_high), units) for one in kept]),
        examples=int(finite.sum()),
    )


def _only(one: Observed, finite: Tensor) -> Observed:
    return Observed(**{f.name: getattr(one, f.name)[finite] for f in fields(one)})


def _least(x: Float64[Tensor, "n *cells"]) -> Float64[Tensor, "*cells"]:
    """Over examples; infinite without any."""
    return torch.cat([x, torch.full_like(x[:0].sum(0, keepdim=True), torch.inf)]).amin(0)


def _most(x: Float64[Tensor, "n *cells"]) -> Float64[Tensor, "*cells"]:
    """Over examples, of numbers that are 0 or more; 0 without any."""
    return torch.cat([x, x[:0].sum(0, keepdim=True)]).amax(0)


def _padded(x: Tensor, units: int) -> Tensor:
    return torch.nn.functional.pad(x, (0, units - len(x)), value=torch.nan)
