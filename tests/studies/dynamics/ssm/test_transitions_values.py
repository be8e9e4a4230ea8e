"""Transitions, half-lives, horizons and memory against every value in memory, and the laws of their state."""

import math
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from repflow.metrics import pack, poisson_weights, unpack
from repflow.metrics.batch import spaced_rows
from repflow.studies.dynamics.ssm import Recurrence, TransitionState, transition_values
from repflow.studies.dynamics.ssm.histogram import Bins, quantiles
from repflow.studies.dynamics.ssm.observed import HORIZONS, LAGS, RATES, STARTS, observed
from repflow.studies.dynamics.ssm.state import summed
from repflow.studies.dynamics.ssm.values import LEVELS

LENGTHS = (70, 33, 1, 64, 2, 70)
REPLICATES = 12


def made(lengths: tuple[int, ...] = LENGTHS, units: int = 5, states: int = 3, seed: int = 0) -> list[Recurrence]:
    """One recurrence an example: time steps over two orders of magnitude, decays over one."""
    draw = torch.Generator().manual_seed(seed)
    decay = torch.exp(1.2 * torch.randn(units, states, generator=draw))

    def one(t: int) -> Recurrence:
        dt = 0.1 * torch.exp(1.5 * torch.randn(1, t, units, generator=draw))
        x = dt.unsqueeze(-1) * torch.randn(1, t, units, 1, generator=draw)
        return Recurrence(dt, decay, x, torch.randn(1, t, 1, states, generator=draw))

    return [one(t) for t in lengths]


def batched(rows: list[Recurrence]) -> tuple[Recurrence, Tensor]:
    """The rows padded on the right with numbers that would be seen if they counted, and which tokens are real."""
    longest = max(row.dt.shape[1] for row in rows)

    def padded(x: Tensor) -> Tensor:
        filling = x.new_full((1, longest - x.shape[1], *x.shape[2:]), 1e-9)
        return torch.cat([x, filling + 77.0 * (torch.arange(filling.shape[1]) % 2)[:, *[None] * (x.ndim - 2)]], dim=1)

    parts = [torch.cat([padded(getattr(row, name)) for row in rows]) for name in ("dt", "x", "key")]
    real = torch.arange(longest) < torch.tensor([row.dt.shape[1] for row in rows])[:, None]
    return Recurrence(parts[0], rows[0].decay, parts[1], parts[2]), real


def state_of(rows: list[Recurrence], ids: list[int], blocks: int = 1) -> TransitionState:
    recurrence, real = batched(rows)
    seen = [observed(recurrence, real)] * blocks
    return summed(seen, poisson_weights(0, ids, REPLICATES), torch.ones(len(rows), dtype=torch.bool))


def transitions(row: Recurrence) -> np.ndarray:
    """All of an example's A_bar, in float64."""
    return torch.exp(-row.dt[0].double()[:, :, None] * row.decay.double()).numpy()


def same(a: TransitionState, b: TransitionState, **tolerance: float) -> None:
    (mine, facts), (theirs, other) = pack(a), pack(b)
    assert facts == other
    for name, array in mine.items():
        np.testing.assert_allclose(array, theirs[name], **{"rtol": 1e-12, "atol": 0.0, **tolerance}, err_msg=name)


def test_the_distribution_against_all_values() -> None:
    rows = made()
    values = transition_values(state_of(rows, list(range(len(rows)))))
    everything = np.concatenate([transitions(row).ravel() for row in rows])
    found = {name: float(values["transition", name][0, 0]) for name in ("mean", "min", "max", "share_above_0.999")}
    assert found["mean"] == pytest.approx(everything.mean(), rel=1e-6)
    assert found["min"] == pytest.approx(everything.min(), rel=1e-5)
    assert found["max"] == pytest.approx(everything.max(), rel=1e-9)
    assert 0 < found["share_above_0.999"] == np.mean(everything > 0.999)
    for level in LEVELS:
        name = f"q{round(100 * level):02d}"
        rate = -math.log(float(values["transition", name][0, 0]))
        exact = -np.log(np.quantile(everything, level, method="inverted_cdf"))
        assert rate == pytest.approx(exact, rel=2.0**-RATES.bits), "off by a bin at most"
        assert float(values["half_life", name][0, 0]) == pytest.approx(math.log(2) / rate, rel=1e-9)


def test_horizons_and_memory_against_a_loop() -> None:
    rows = made()
    values = transition_values(state_of(rows, list(range(len(rows)))))
    steps: list[float] = []
    kept: dict[int, list[float]] = {}
    for row in rows:
        passed = transitions(row)
        half = (len(passed) + 1) // 2
        width = len(passed) - half
        products: dict[int, list[np.ndarray]] = {}
        for start in spaced_rows(half, STARTS) if width else ():
            product = np.cumprod(passed[start + 1 : start + 1 + width], axis=0)
            below = product < 1e-3
            steps += np.where(below.any(0), below.argmax(0) + 1.0, math.inf).ravel().tolist()
            for lag in (lag for lag in LAGS if lag <= width):
                products.setdefault(lag, []).append(product[lag - 1])
        for lag, found in products.items():
            kept.setdefault(lag, []).append(float(np.mean(found)))
    assert float(values["horizon", "share_beyond"][0, 0]) == pytest.approx(np.mean(np.isinf(steps)))
    assert 0 < np.mean(np.isinf(steps)) < 1
    for level in LEVELS:
        exact = np.quantile(steps, level, method="inverted_cdf")
        found = float(values["horizon", f"q{round(100 * level):02d}"][0, 0])
        assert found == exact if exact <= 32 or math.isinf(exact) else exact / 1.0625 <= found <= exact
    assert {key[1] for key in values if key[0] == "memory"} == {f"lag_{lag}" for lag in kept} >= {"lag_1", "lag_32"}
    for lag, means in kept.items():
        assert float(values["memory", f"lag_{lag}"][0, 0]) == pytest.approx(np.mean(means), rel=1e-9)


def test_replicates_are_the_estimate_on_repeated_examples() -> None:
    rows = made((20, 33, 12, 40))
    ids = [3, 4, 7, 9]
    weights = poisson_weights(0, ids, REPLICATES).int()
    values = transition_values(state_of(rows, ids))
    for replicate in (1, 2, 3):
        drawn = [row for row, times in zip(rows, weights[:, replicate].tolist(), strict=True) for _ in range(times)]
        again = transition_values(state_of(drawn, list(range(len(drawn)))))
        for key in (("transition", "mean"), ("transition", "q50"), ("horizon", "share_beyond"), ("state_norm", "mean")):
            assert float(values[key][0, replicate]) == pytest.approx(float(again[key][0, 0]), rel=1e-9), key
    assert len({float(x) for x in values["transition", "q50"][0]}) > 3


def test_padding_and_batches_change_nothing() -> None:
    rows = made()
    together = state_of(rows, list(range(len(rows))))
    alone = [state_of([row], [i]) for i, row in enumerate(rows)]
    same(together, reduce(TransitionState.merge, alone), rtol=1e-6)


def test_merging_in_any_grouping_and_with_nothing() -> None:
    a, b, c = (state_of(made(seed=seed), [6 * seed + i for i in range(6)], blocks=2) for seed in range(3))
    same(a.merge(b).merge(c), a.merge(b.merge(c)))
    recurrence, real = batched(made())
    nothing = summed([observed(recurrence, real)] * 2, poisson_weights(0, [0] * 6, REPLICATES), torch.zeros(6) > 0)
    assert nothing.examples == 0
    same(a.merge(nothing), a)
    same(nothing.merge(a), a)
    assert all(bool(value.isnan().all()) for value in transition_values(nothing).values())
    arrays, meta = pack(a)
    same(unpack(TransitionState, arrays, meta), a)


def test_mixers_of_different_size_share_a_state() -> None:
    (small, real), (large, _) = batched(made()), batched(made(units=8))
    seen = [observed(small, real), observed(large, real)]
    both = summed(seen, poisson_weights(0, range(6), REPLICATES), real.any(1))
    assert both.rate_low.shape == (2, 8)
    values, alone = transition_values(both.merge(both)), transition_values(state_of(made(), list(range(6))))
    for name in ("max", "q99", "mean"):
        assert float(values["transition", name][0, 0]) == pytest.approx(float(alone["transition", name][0, 0]))


def test_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made()
    whole = state_of(rows, list(range(6)))
    monkeypatch.setattr("repflow.studies.dynamics.ssm.observed._ROOM", 40)
    same(state_of(rows, list(range(6))), whole)


def test_planted_transitions() -> None:
    ones = torch.ones(2, 40, 3)
    constant = Recurrence(ones * math.log(2) / 4, torch.ones(3, 1), ones[..., None], ones[..., :1, None])
    weights, finite = poisson_weights(0, [0, 1], REPLICATES), torch.ones(2, dtype=torch.bool)
    values = transition_values(summed([observed(constant, ones[..., 0] > 0)], weights, finite))
    for name in ("q01", "q50", "q99"):
        assert float(values["half_life", name][0, 0]) == pytest.approx(4.0, rel=1e-6), "extremes are exact"
    needed = math.floor(math.log(1000) / (math.log(2) / 4)) + 1
    assert needed == 40 > 20
    assert float(values["horizon", "share_beyond"][0, 0]) == 1.0
    faster = Recurrence(constant.dt * 4, constant.decay, constant.x, constant.key)
    values = transition_values(summed([observed(faster, ones[..., 0] > 0)], weights, finite))
    assert {float(values["horizon", name][0, 0]) for name in ("q01", "q99")} == {10.0}, "2^-10 < 1e-3 < 2^-9"
    for decay, kept, half_life in ((0.0, 1.0, math.inf), (1e30, 0.0, 0.0)):
        extreme = Recurrence(constant.dt, torch.full((3, 1), decay), constant.x, constant.key)
        values = transition_values(summed([observed(extreme, ones[..., 0] > 0)], weights, finite))
        assert {float(values["transition", name][0, 0]) for name in ("mean", "min", "q50", "max")} == {kept}
        assert float(values["half_life", "q50"][0, 0]) == pytest.approx(half_life, abs=1e-20)
        assert float(values["horizon", "q50"][0, 0]) == (math.inf if kept else 1.0)


@given(st.floats(min_value=0.0, max_value=2.0**127, width=32), st.sampled_from([RATES, HORIZONS, Bins(2, -3, 3)]))
def test_a_number_lies_in_its_bin(x: float, bins: Bins) -> None:
    edges, index = bins.edges(), int(bins.index(torch.tensor([x]))[0])
    assert len(edges) == bins.count + 1
    assert edges[index] <= x < edges[index + 1]
    if 0 < index < bins.count - 1:
        assert edges[index + 1] <= edges[index] * (1 + 2.0**-bins.bits)


def test_quantiles_of_even_weight_are_exact_inside_a_bin() -> None:
    bins = Bins(0, 0, 3)
    found = quantiles(torch.tensor([[[0.0], [4.0], [4.0], [0.0], [0.0]]], dtype=torch.float64), (0.25, 0.5, 0.75), bins)
    assert found[0, :, 0].tolist() == [1.5, 2.0, 3.0]
    outside = torch.tensor([[[1.0], [0.0], [0.0], [0.0], [1.0]]], dtype=torch.float64)
    assert quantiles(outside, (0.25, 0.75), bins)[0, :, 0].tolist() == [0.0, math.inf]
