"""What is taken of one mixer's recurrence over one batch, example by example."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from repflow.metrics.batch import spaced_rows
from repflow.studies.dynamics.ssm.histogram import Bins
from repflow.studies.dynamics.ssm.recurrence import Recurrence, scaled, states

RATES = Bins(4, -26, 8)
"""Bins of -log A_bar: from where a float32 A_bar is 1 up to where it is 0, each at most 6.3% wide."""
HORIZONS = Bins(4, 0, 17)
"""Bins of numbers of tokens: one each up to 32, 6.3% wide at most beyond."""
NEAR_ONE = 0.999
FORGOTTEN = 1e-3
STARTS = 16
"""Tokens of an example from which the products over windows begin."""
LAGS = tuple(2**i for i in range(17))
_ROOM = 2**22


@dataclass(frozen=True, eq=False)
class Observed:
    """One mixer, one batch, each example by itself; on the CPU. Padding is in none of it."""

    spread: Int64[Tensor, "n k"]
    """Histogram of -log A_bar over tokens, units and states."""
    total: Float64[Tensor, " n"]
    """Sum of A_bar."""
    near_one: Int64[Tensor, " n"]
    """How often A_bar > 0.999."""
    rate_low: Float64[Tensor, "n u"]
    """Least -log A_bar of each unit: where it forgets slowest."""
    rate_high: Float64[Tensor, " n"]
    horizon: Int64[Tensor, "n h"]
    """Histogram of the tokens until a product falls below 1e-3; beyond the window in the last bin."""
    product: Float64[Tensor, "n l"]
    """Mean product over sampled windows of each lag; NaN where the example is too short."""
    windows: Int64[Tensor, "n l"]
    """Products behind it."""
    window_low: Float64[Tensor, "n l"]
    """Least sum of -log A_bar over any window: the largest product, as a logarithm."""
    every_window: Int64[Tensor, "n l"]
    """Products behind it."""
    input_high: Float64[Tensor, "n u"]
    state_high: Float64[Tensor, "n u"]
    state_mean: Float64[Tensor, " n"]
    looked: Int64[Tensor, " n"]
    """Unit states behind them."""


def observed(recurrence: Recurrence, real: Bool[Tensor, "n t"]) -> Observed:
    """Everything that is taken of a recurrence. `real` is False at padding, which may be on the right only."""
    lengths = real.sum(1).tolist()
    spreads = [_spread(dt[:length], recurrence.decay) for dt, length in zip(recurrence.dt, lengths, strict=True)]
    windows = [_windows(dt[:length], recurrence.decay) for dt, length in zip(recurrence.dt, lengths, strict=True)]
    slowest = [_slowest(dt[:length], recurrence.decay) for dt, length in zip(recurrence.dt, lengths, strict=True)]
    spread, total, near_one = (torch.stack(column).cpu() for column in zip(*spreads, strict=True))
    horizon, product, count = (torch.stack(column).cpu() for column in zip(*windows, strict=True))
    window_low, every_window = (torch.stack(column).cpu() for column in zip(*slowest, strict=True))
    rate_low, rate_high = (extreme.cpu() for extreme in _extremes(recurrence, real))
    input_high, state_high, state_mean, looked = (size.cpu() for size in _sizes(recurrence, real))
    return Observed(
        spread=spread,
        total=total,
        near_one=near_one,
        rate_low=rate_low,
        rate_high=rate_high,
        horizon=horizon,
        product=product,
        windows=count,
        window_low=window_low,
        every_window=every_window,
        input_high=input_high,
        state_high=state_high,
        state_mean=state_mean,
        looked=looked,
    )


def _extremes(recurrence: Recurrence, real: Tensor) -> tuple[Tensor, Tensor]:
    """Each unit's least -log A_bar [n, u], and the largest of all units [n]."""
    decay, padding = recurrence.decay.double(), ~real[..., None]
    low = recurrence.dt.masked_fill(padding, math.inf).amin(1)
    high = recurrence.dt.masked_fill(padding, 0.0).amax(1)
    return low.double() * decay.amin(1), (high.double() * decay.amax(1)).amax(1)


def _spread(dt: Float32[Tensor, "t u"], decay: Float32[Tensor, "u s"]) -> tuple[Tensor, Tensor, Tensor]:
    """Histogram, sum and number near 1 of the transitions, a few tokens at a time: there is no room for [t, u, s]."""
    counts = torch.zeros(RATES.count, dtype=torch.int64, device=dt.device)
    total = torch.zeros((), dtype=torch.float64, device=dt.device)
    near_one = torch.zeros((), dtype=torch.int64, device=dt.device)
    for piece in dt.split(max(1, _ROOM // decay.numel())):
        rates = scaled(piece[..., None], decay)
        counts += RATES.counts(rates)
        kept = rates.neg_().exp_()
        total += kept.sum(dtype=torch.float64)
        near_one += (kept > NEAR_ONE).sum()
    return counts, total, near_one


def _windows(dt: Float32[Tensor, "t u"], decay: Float32[Tensor, "u s"]) -> tuple[Tensor, Tensor, Tensor]:
    """Products over windows that begin at up to 16 tokens of the first half, all of one length: half the example.

    What enters the state at a token is multiplied with the transitions of the tokens after it.
    """
    begin = (len(dt) + 1) // 2
    width = len(dt) - begin
    time, rates = dt.double(), decay.double()
    horizon = torch.zeros(HORIZONS.count, dtype=torch.int64, device=dt.device)
    total = torch.zeros(len(LAGS), dtype=torch.float64, device=dt.device)
    starts = spaced_rows(begin, STARTS).tolist() if width else []
    for start in starts:
        since = time[start + 1 : start + 1 + width].cumsum(0).T.contiguous()
        steps = torch.searchsorted(since, -math.log(FORGOTTEN) / rates, right=True) + 1
        horizon += HORIZONS.counts(torch.where(steps > width, math.inf, steps.float()))
        for i, lag in enumerate(lag for lag in LAGS if lag <= width):
            total[i] += scaled(since[:, lag - 1, None], rates).neg().exp().mean()
    reached = torch.tensor([lag <= width for lag in LAGS], device=dt.device)
    mean = torch.where(reached, total / max(1, len(starts)), math.nan)
    return horizon, mean, reached * (len(starts) * decay.numel())


def _slowest(dt: Float32[Tensor, "t u"], decay: Float32[Tensor, "u s"]) -> tuple[Tensor, Tensor]:
    """Least -log of a product over all windows of each lag up to half the example, and how many windows there are.

    No sum over k tokens is let round to less than k times the least, so that bounds hold to the bit.
    """
    width, rates = len(dt) // 2, decay.double().amin(1)
    low = torch.full((len(LAGS),), math.inf, dtype=torch.float64, device=dt.device)
    count = torch.zeros(len(LAGS), dtype=torch.int64, device=dt.device)
    if width:
        since, least = dt.double().cumsum(0), dt.double()[1:].amin(0)
        for i, lag in enumerate(lag for lag in LAGS if lag <= width):
            sums = torch.maximum((since[lag:] - since[:-lag]).amin(0), lag * least)
            low[i] = scaled(sums, rates).min()
            count[i] = (len(dt) - lag) * decay.numel()
    return low, count


def _sizes(recurrence: Recurrence, real: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Largest input and largest state of each unit over every token, the mean state, and how many states there were."""
    entering = recurrence.input_norm().masked_fill(~real[..., None], 0.0).amax(1).double()
    norms = torch.stack([torch.linalg.vector_norm(state, dim=(2, 3)) for _, state in states(recurrence, real)], 1)
    norms.masked_fill_(~real[..., None], 0.0)
    looks = real.sum(1)
    mean = norms.double().sum((1, 2)) / (looks * norms.shape[2])
    return entering, norms.amax(1).double(), mean, looks * norms.shape[2]
