"""What contractivity promises of a state-space block, beside what was measured.

With rho = sup ||A_bar_t|| < 1 the state of t tokens obeys ||state_t|| <= rho ||state_{t-1}|| + ||input_t||. Unrolled:
of what entered k tokens back at most rho^k is left, and ||state|| <= max ||input|| / (1 - rho) (the geometric series).
The sup is over the data that was read, not over all inputs. A_bar is diagonal, so the influence of a state on the one k
tokens later, the time steps given, is exactly the product of the k transitions in between.
Contraction of the state is not contraction of the block: the skip D, the gate, the convolution and the residual stream
carry tokens around the state, and time steps that depend on the input carry them into A_bar.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from repflow.core import Site
from repflow.studies.dynamics.ssm.mixers import BlockMixer
from repflow.studies.dynamics.ssm.observed import LAGS
from repflow.studies.dynamics.ssm.state import TransitionState
from repflow.studies.dynamics.ssm.values import slowest

VACUOUS = 1e-6
"""A rho above 1 minus this bounds nothing worth having."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound on one block's state, and the measured value it bounds."""

    block: int
    site: Site
    name: str
    """`rho`: the contractivity constant itself.
    `memory`: rho^lag, beside the largest product over any window of `lag` tokens.
    `memory_mean`: the mean over units of each unit's own rho^lag, beside the mean product of sampled windows.
    `state_norm`: max ||input|| / (1 - rho), beside the largest state of a unit after any token.
    `state_norm_by_unit`: the same with each unit's own input and rho; the largest over units."""
    lag: int | None
    bound: float
    """For `rho`, 1: what contraction asks for."""
    measured: float
    ratio: float
    """bound / measured, at least 1 where the bound holds: of `memory` to the bit, of means and of states (summed in
    float32) to rounding. Infinite where the measured value is 0 to float64."""
    vacuous: bool
    """rho > 1 - 1e-6."""
    n: int
    """Transitions, products or states measured."""
    sampled: bool = False
    """Whether `measured` is of sampled windows only."""


def bounds(state: TransitionState, found: Sequence[BlockMixer]) -> tuple[Bound, ...]:
    """All bounds of all mixers, in their order; lags are powers of two up to half the longest example."""
    return tuple(bound for i, mixer in enumerate(found) for bound in _of_one(state, i, mixer))


def _of_one(state: TransitionState, i: int, mixer: BlockMixer) -> Iterator[Bound]:
    low = slowest(state)[i]
    vacuous = bool(-torch.expm1(-low) < VACUOUS)

    def bound(
        name: str, log_bound: Tensor, log_measured: Tensor, n: Tensor, lag: int | None = None, sampled: bool = False
    ) -> Bound:
        value, measured, ratio = (float(x.exp()) for x in (log_bound, log_measured, log_bound - log_measured))
        return Bound(mixer.block, mixer.site, name, lag, value, measured, ratio, vacuous, int(n), sampled)

    yield bound("rho", torch.zeros_like(low), -low, state.spread[i, :, 0].sum())
    own = state.rate_low[i][~state.rate_low[i].isnan()]
    for j, lag in enumerate(LAGS):
        if n := state.windows[i, j]:
            yield bound("memory", -lag * low, -state.window_low[i, j], state.every_window[i, j], lag)
            mean = state.product[i, j, 0] / state.product_weight[i, j, 0]
            yield bound("memory_mean", _log_mean(-lag * own), mean.log(), n, lag, sampled=True)
    entering, largest = state.input_high[i, : len(own)], state.state_high[i, : len(own)].max().log()
    yield bound("state_norm", _series(entering.max(), low), largest, state.looked[i])
    yield bound("state_norm_by_unit", _series(entering, own).max(), largest, state.looked[i])


def _log_mean(logs: Float64[Tensor, " u"]) -> Float64[Tensor, ""]:
    return logs.logsumexp(0) - math.log(len(logs))


def _series(entering: Tensor, rate: Tensor) -> Tensor:
    """log(input / (1 - rho)); a unit that nothing enters stays at 0, whatever its rho."""
    return torch.where(entering > 0, entering.log() - (-torch.expm1(-rate)).log(), -math.inf)
