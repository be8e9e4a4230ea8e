"""The numbers that are read from a state of transitions, with their bootstrap replicates."""

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from repflow.studies.dynamics.ssm.histogram import quantile_bins, quantiles
from repflow.studies.dynamics.ssm.observed import HORIZONS, LAGS, RATES
from repflow.studies.dynamics.ssm.state import TransitionState

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
Values = dict[tuple[str, str], Float64[Tensor, "b r"]]


def transition_values(state: TransitionState) -> Values:
    """By (quantity, statistic) one row a mixer: the estimate in column 0, its replicates behind it.

    `transition`: A_bar over tokens, units and states, in [0, 1]: mean, min, max, share_above_0.999, quantiles q01, q05,
    q25, q50, q75, q95 and q99.
    `half_life`: log(1/2) / log(A_bar) in tokens, its quantiles; infinite where A_bar is 1.
    `horizon`: tokens until the product over a window falls below 1e-3, its quantiles, infinite beyond the window of
    half an example; and share_beyond, the share of windows that never did.
    `memory`: mean product over a window of so many tokens, `lag_1`, `lag_2`, `lag_4` ...: what is left in the state of
    what entered that long ago. `state_norm`: mean size of a unit's state.
    Quantiles of -log A_bar are off by 6.3% at worst, horizons beyond 32 tokens by 6.3% downwards; extremes are exact
    and have no replicates. NaN where there is nothing to read.
    """
    rates = _rates(state)
    transitions, half_lives = (-rates).exp(), math.log(2) / rates
    count = state.spread.sum(1)
    values: Values = {("transition", "mean"): state.total / count}
    values["transition", "min"] = _alone((-state.rate_high).exp(), count)
    values["transition", "max"] = _alone((-slowest(state)).exp(), count)
    values["transition", "share_above_0.999"] = state.near_one / count
    values |= _quantiles("transition", transitions) | _quantiles("half_life", half_lives)
    values |= _quantiles("horizon", _horizons(state))
    values["horizon", "share_beyond"] = state.horizon[:, -1] / state.horizon.sum(1)
    memory = state.product / state.product_weight
    values |= {("memory", f"lag_{lag}"): memory[:, i] for i, lag in enumerate(LAGS) if state.windows[:, i].any()}
    values["state_norm", "mean"] = state.state_mean / state.weight
    return values


def last_alike(horizons: np.ndarray) -> np.ndarray:
    """The largest whole number of tokens that is counted with each of these horizons; NaN and infinity stay."""
    after = HORIZONS.edges()[1:].ceil().numpy() - 1
    least = HORIZONS.edges()[:-1].ceil().numpy()
    bins = np.searchsorted(least, horizons, side="right") - 1
    return np.where(np.isfinite(horizons), np.maximum(after[bins], horizons), horizons)


def slowest(state: TransitionState) -> Float64[Tensor, " b"]:
    """Least -log A_bar of each mixer."""
    return state.rate_low.nan_to_num(nan=math.inf, posinf=math.inf).amin(1)


def _rates(state: TransitionState) -> Float64[Tensor, "b q r"]:
    """-log A_bar from its largest quantile down, so that A_bar goes up; never past the extremes, which are exact."""
    found = quantiles(state.spread, tuple(1 - level for level in LEVELS), RATES)
    found = found.clamp(slowest(state)[:, None, None], state.rate_high[:, None, None])
    return _where_any(state.spread, found)


def _horizons(state: TransitionState) -> Float64[Tensor, "b q r"]:
    """The least whole number of tokens in the quantile's bin."""
    least = HORIZONS.edges()[:-1].ceil()
    least[-1] = math.inf
    return _where_any(state.horizon, least[quantile_bins(state.horizon, LEVELS)])


def _where_any(weights: Tensor, found: Tensor) -> Tensor:
    return torch.where(weights.sum(1)[:, None] > 0, found, math.nan)


def _quantiles(quantity: str, found: Tensor) -> Values:
    return {(quantity, f"q{round(100 * level):02d}"): found[:, i] for i, level in enumerate(LEVELS)}


def _alone(values: Float64[Tensor, " b"], counts: Float64[Tensor, "b r"]) -> Float64[Tensor, "b r"]:
    """An estimate without replicates; NaN where nothing is behind it."""
    out = torch.full_like(counts, math.nan)
    out[:, 0] = torch.where(counts[:, 0] > 0, values, math.nan)
    return out
