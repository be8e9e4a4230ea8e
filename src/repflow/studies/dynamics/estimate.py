"""From measured dynamics to rows: values, intervals, and bounds beside what they bound."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from repflow.core import Example, Origin, interval, proportion
from repflow.metrics import poisson_weights
from repflow.metrics.states import Means, observe_means
from repflow.studies.dynamics.rows import BoundRow, InfluenceRow, RecencyRow, TransitionRow
from repflow.studies.dynamics.settings import DynamicsMeasureSettings
from repflow.studies.dynamics.ssm import LAGS, BlockMixer, Bound, TransitionState, last_alike
from repflow.studies.dynamics.ssm.paths import BOUNDS, PathUse
from repflow.studies.dynamics.ssm.values import Values
from repflow.studies.kit.units import Behind, Units

_SHARES = ("share_above_0.999", "share_beyond")
"""Statistics in [0, 1] that may be 0 or 1 in every example."""


def transition_rows(
    origin: Origin, found: Sequence[BlockMixer], values: Values, state: TransitionState, units: Units
) -> Iterator[TransitionRow]:
    """One row a block, quantity and statistic."""
    behind, blocks = Behind(state.examples, units), len(found)
    reaching = state.product_weight.numpy()
    count = {f"lag_{lag}": reaching[:, i, 0].astype(int) for i, lag in enumerate(LAGS)}
    number = {f"lag_{lag}": behind.units(count[f"lag_{lag}"], reaching[:, i]) for i, lag in enumerate(LAGS)}
    examples, all_units = np.full(blocks, state.examples), np.full(blocks, units.n)
    limits: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    for (quantity, statistic), cells in values.items():
        n = behind.usable(number.get(statistic, all_units))
        low, high = _ends(behind.stretched(cells.numpy()), n, statistic in _SHARES)
        counted = quantity == "horizon" and statistic not in _SHARES
        limits[quantity, statistic] = low, last_alike(high) if counted else high
    for i, mixer in enumerate(found):
        for (quantity, statistic), (low, high) in limits.items():
            yield TransitionRow(
                **_about(origin),
                site=mixer.site.name,
                site_index=mixer.site.index,
                depth=mixer.site.depth,
                mixer=mixer.kind,
                quantity=quantity,
                statistic=statistic,
                value=float(values[quantity, statistic][i, 0]),
                ci_low=float(low[i]),
                ci_high=float(high[i]),
                n_examples=int(count.get(statistic, examples)[i]),
            )


def block_bound_rows(origin: Origin, found: Sequence[Bound]) -> Iterator[BoundRow]:
    """One row a block and bound; extremes have no interval."""
    for bound in found:
        yield BoundRow(
            **_about(origin),
            site=bound.site.name,
            depth=bound.site.depth,
            name=bound.name,
            lag=bound.lag,
            tokens="all",
            bound=bound.bound,
            measured=bound.measured,
            ratio=bound.ratio,
            use=1 / bound.ratio if bound.ratio else math.inf,
            use_low=math.nan,
            use_high=math.nan,
            vacuous=bound.vacuous,
            n=bound.n,
            sampled=bound.sampled,
        )


def path_bound_rows(origin: Origin, state: PathUse, policies: Sequence[str], units: Units) -> Iterator[BoundRow]:
    """One row an inequality and token policy."""
    values = state.value()
    behind = Behind(units.examples, units)
    n = behind.units(state.count[:, 2].numpy(), state.weight[:, 2].numpy())
    low, high = interval(behind.stretched(values[:, 2].numpy())[..., 1:], behind.usable(n))
    for i, name in enumerate(BOUNDS):
        for p, policy in enumerate(policies):
            bound, measured, use = values[i, :, p, 0].tolist()
            most = float(state.most[i, p])
            yield BoundRow(
                **_about(origin),
                site="path",
                depth=math.nan,
                name=name,
                lag=None,
                tokens=policy,
                bound=bound,
                measured=measured,
                ratio=1 / most if most else math.nan,
                use=use,
                use_low=float(low[i, p]),
                use_high=float(high[i, p]),
                vacuous=False,
                n=int(state.paths[i, p]),
                sampled=False,
            )


def distance_bins(reach: int) -> list[tuple[int, int]]:
    """0, then from each power of two to before the next: (0, 0), (1, 1), (2, 3), (4, 7) .. up to `reach`."""
    starts = [0, *(2**i for i in range(reach.bit_length()))]
    return [(k, min(max(k, 2 * k - 1), reach)) for k in starts]


def influence_rows(
    origin: Origin,
    squares: np.ndarray,
    tokens: Sequence[int],
    examples: Sequence[Example],
    chosen: DynamicsMeasureSettings,
    units: Units,
) -> tuple[list[InfluenceRow], RecencyRow]:
    """One row a bin of distances, and the slope over them, of squared influences [n, distances] of the examples."""
    bins = distance_bins(squares.shape[1] - 1)
    behind, ids = Behind(len(examples), units), [example.unit_id for example in examples]
    cut = [squares[:, first : last + 1] for first, last in bins]
    weights = poisson_weights(chosen.seed, ids, chosen.replicates)
    mean = _means(np.stack([each.mean(1) for each in cut]), weights)
    # The root comes last: that of each example's few products would be too small however many examples there are.
    values = behind.stretched(mean.value().sqrt().numpy())
    n = behind.usable(behind.units(mean.count.numpy(), mean.weight.numpy()))
    shares = _means(np.stack([each.sum(1) for each in cut]) / squares.sum(1), weights)
    parts = behind.stretched(shares.value().numpy())
    n_shares = behind.usable(behind.units(shares.count.numpy(), shares.weight.numpy()))
    rows = [
        InfluenceRow(
            **_about(origin),
            distance=first,
            distance_to=last,
            **_limits("value", ("ci_low", "ci_high"), values[i], int(n[i])),
            **_limits("share", ("share_low", "share_high"), parts[i], int(n_shares[i]), share=True),
            n_examples=int(mean.count[i]),
            n_tokens=int(np.array(tokens)[np.isfinite(cut[i]).all(1)].sum()),
        )
        for i, (first, last) in enumerate(bins)
    ]
    slopes = recency_slopes(values, bins)
    fewest = int(mean.count[1:].min()) if len(bins) > 1 else 0
    low, high = interval(slopes[1:], int(n[1:].min()) if len(bins) > 1 else 0)
    return rows, RecencyRow(
        **_about(origin),
        slope=float(slopes[0]),
        ci_low=float(low),
        ci_high=float(high),
        reach=bins[-1][1],
        n_examples=fewest,
    )


def recency_slopes(values: np.ndarray, bins: Sequence[tuple[int, int]]) -> np.ndarray:
    """Least-squares slope of log value [bins, r] against log distance, over distances of 1 and more; [r].

    A bin stands at the geometric mean of its ends. NaN with fewer than two bins, or where a value is 0.
    """
    x = np.array([0.5 * math.log(first * last) for first, last in bins if first])
    if len(x) < 2:
        return np.full(values.shape[1], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(values[len(bins) - len(x) :])
        centred = x - x.mean()
        slopes = centred @ y / (centred @ centred)
    return np.where(np.isfinite(slopes), slopes, np.nan)


def _means(values: np.ndarray, weights: torch.Tensor) -> Means:
    return observe_means(torch.from_numpy(values), weights)


def _limits(name: str, ends: tuple[str, str], cells: np.ndarray, n: int, share: bool = False) -> dict[str, Any]:
    """Columns of a value and its interval, from the estimate and its replicates [1 + B]."""
    low, high = _ends(cells, n, share)
    return {name: float(cells[0]), ends[0]: float(low), ends[1]: float(high)}


def _ends(cells: np.ndarray, n: int, share: bool) -> tuple[np.ndarray, np.ndarray]:
    """The interval of [..., 1 + B]."""
    return proportion(cells[..., 0], cells[..., 1:], n) if share else interval(cells[..., 1:], n)


def _about(origin: Origin) -> dict[str, Any]:
    """The columns every row has."""
    about = asdict(origin)
    del about["step"]
    return about
