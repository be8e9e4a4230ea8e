"""Bootstrap weights and intervals; their coverage by simulation through the real states."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from toolkit import Trajectory, estimates, run, trajectory

from repflow.core import interval
from repflow.metrics.batch import Options
from repflow.metrics.bootstrap import REPLICATES, poisson_weights
from repflow.metrics.states import Means, observe_means
from repflow.metrics.token_cka import HsicSums


def test_weights_depend_on_seed_and_id_alone() -> None:
    together = poisson_weights(3, (5, 9, 2), 50)
    assert together.dtype == torch.float64
    for row, example_id in enumerate((5, 9, 2)):
        assert torch.equal(poisson_weights(3, (example_id,), 50)[0], together[row])
    assert torch.equal(poisson_weights(3, (5,), 80)[0, :51], together[0])
    assert not torch.equal(poisson_weights(4, (5,), 50)[0], together[0])


def test_the_first_column_is_the_estimates_own() -> None:
    weights = poisson_weights(0, range(40))
    assert weights.shape == (40, 1 + REPLICATES)
    assert REPLICATES == 200
    assert (weights[:, 0] == 1).all()


def test_no_examples_have_no_weights() -> None:
    assert poisson_weights(0, (), 10).shape == (0, 11)


def test_weights_are_poisson_of_mean_one_and_independent() -> None:
    weights = poisson_weights(1, range(2000))[:, 1:].numpy()
    assert weights.mean() == pytest.approx(1.0, abs=0.008)
    assert weights.var() == pytest.approx(1.0, abs=0.02)
    shares = np.bincount(weights.astype(int).ravel(), minlength=5)[:5] / weights.size
    np.testing.assert_allclose(shares, np.exp(-1) / np.array([1, 1, 2, 6, 24]), atol=0.004)
    assert abs(np.corrcoef(weights[:-1].ravel(), weights[1:].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(weights[:, :-1].ravel(), weights[:, 1:].ravel())[0, 1]) < 0.01


def test_the_stream_never_changes_silently() -> None:
    """Stored runs and resumed ones hold these weights: a change here breaks both."""
    assert poisson_weights(0, (0,), 16)[0].tolist() == PINNED[0, 0]
    assert poisson_weights(7, (123456,), 16)[0].tolist() == PINNED[7, 123456]


PINNED = {
    (0, 0): [1, 0, 0, 0, 1, 1, 0, 3, 4, 0, 0, 1, 0, 1, 0, 2, 2],
    (7, 123456): [1, 0, 1, 1, 2, 0, 0, 1, 1, 1, 0, 0, 1, 0, 2, 1, 1],
}


def test_an_interval_needs_eight_units_and_half_its_replicates() -> None:
    draws = np.random.default_rng(0).normal(size=(4, 200))
    draws[2, :101] = np.nan
    draws[3, :100] = np.nan
    low, high = interval(draws, np.array([7, 8, 50, 50]))
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, False, True, False]


def test_an_interval_of_many_units_is_the_percentile_interval() -> None:
    draws = np.random.default_rng(0).normal(size=10_000)
    draws = np.concatenate([draws, -draws])
    low, high = interval(draws, 10**6)
    np.testing.assert_allclose([low, high], np.quantile(draws, [0.025, 0.975], method="weibull"), atol=1e-3)
    narrow = interval(draws, 10**6, level=0.5)
    np.testing.assert_allclose(narrow, np.quantile(draws, [0.25, 0.75], method="weibull"), atol=1e-3)


def test_two_hundred_replicates_leave_a_fortieth_outside_on_each_side() -> None:
    """Quantiles by the (B + 1) p rule; interpolating between B - 1 gaps would leave out 3.0% and cover a point less."""
    draws = np.random.default_rng(0).uniform(size=(8000, 100))
    draws = np.concatenate([draws, 1 - draws], axis=1)
    low, high = interval(draws, 10**6)
    assert low.mean() == pytest.approx(0.025, abs=7e-4)
    assert high.mean() == pytest.approx(0.975, abs=7e-4)


def test_an_interval_of_few_units_is_wider() -> None:
    draws = np.random.default_rng(0).normal(size=(5, 2000))[:1].repeat(5, 0)
    low, high = interval(draws, np.array([8, 10, 15, 30, 1000]))
    assert (np.diff(high - low) < 0).all()


def test_replicates_without_a_value_are_left_out_and_infinite_ones_are_the_largest() -> None:
    draws = np.random.default_rng(0).normal(size=200)
    first = np.arange(200) < 20
    np.testing.assert_allclose(interval(np.where(first, np.nan, draws), 30), interval(draws[20:], 30))
    low, high = interval(np.where(first, np.inf, draws), 30)
    assert np.isfinite(low)
    assert high == np.inf, "one in ten is infinite"
    assert interval(np.where(first, -np.inf, draws), 30)[0] == -np.inf
    one = np.where(np.arange(200) < 1, np.inf, draws)
    assert np.isfinite(interval(one, 30)[1])


def test_too_few_replicates_give_no_interval() -> None:
    draws = np.random.default_rng(0).normal(size=39)
    assert np.isfinite(interval(draws, 30)).all()
    assert np.isnan(interval(draws[1:], 30)).all()


def _means(values: np.ndarray, first_id: int) -> Means:
    """The state of n examples whose values in one cell are these."""
    ids = range(first_id, first_id + len(values))
    return observe_means(torch.from_numpy(values)[None], poisson_weights(0, ids))


def _covered(means: list[Means], truth: float) -> float:
    replicates = np.concatenate([m.value()[:, 1:].numpy() for m in means])
    low, high = interval(replicates, np.concatenate([m.count.numpy() for m in means]))
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("n", [8, 32, 128])
def test_the_interval_of_a_mean_of_skewed_values_covers_it(n: int) -> None:
    """Per-example values of skewness 1."""
    draw = np.random.default_rng(n)
    trials = 3000 if n < 128 else 1500
    means = [_means(draw.gamma(4.0, size=n), n * trial) for trial in range(trials)]
    assert 0.93 <= _covered(means, 4.0) <= 0.97


def _correlated(n: int, t: int, d: int, seed: int) -> Trajectory:
    """Slow sequences whose likeness differs from one example to the next; each site a noisy copy of the one before."""
    draw = torch.Generator().manual_seed(seed)
    made = trajectory(n=n, t=t, d=d, blocks=1, ids=range(seed * n, seed * n + n))
    state = torch.randn(n, t, d, generator=draw)
    for i in range(1, t):
        state[:, i] += 0.8 * state[:, i - 1]
    state = state + torch.randn(n, 1, 1, generator=draw).exp() * torch.randn(n, 1, d, generator=draw)
    states = [state]
    for _ in made.sites[1:]:
        states.append(states[-1] + torch.randn(n, t, d, generator=draw))
    return Trajectory(made.sites, tuple(states), made.real, made.special, made.ids)


ALL = Options(policies=("all",))


def _coverage(values: list[torch.Tensor], truth: torch.Tensor, n: int) -> float:
    """Share of 95% intervals that hold the truth; values [.., 1 + B] of n examples each."""
    low, high = interval(torch.stack(values)[..., 1:].numpy(), n)
    return float(((low <= truth.numpy()) & (truth.numpy() <= high)).mean())


def test_the_interval_of_inter_token_cosine_covers_the_value_of_a_long_run() -> None:
    name = ["inter_token_cosine"]
    long = run(_correlated(6_000, 8, 4, seed=10**5), name, replace(ALL, replicates=0))
    runs = [run(_correlated(32, 8, 4, seed), name, ALL)[name[0]].value()[:, 0, 0] for seed in range(300)]
    assert 0.93 <= _coverage(runs, estimates(long, name[0])[:, 0, 0], 32) <= 0.97


def _hsics(made: Trajectory) -> torch.Tensor:
    """HSIC_1 of all pairs of sites by example, [n, s, s], all at once."""
    x = torch.stack(made.states, 1).double()
    gram = x @ x.mT
    n = gram.shape[-1]
    off = 1.0 - torch.eye(n, dtype=torch.float64)
    hollow = gram * off
    rows = hollow.sum(-1) / (n - 2)
    total = rows.sum(-1) / (n - 1)
    centred = (hollow - rows[..., None] - rows[..., None, :] + total[..., None, None]) * off
    return torch.einsum("nsij,nzij->nsz", centred, centred) / (n * (n - 3))


def _sums(made: Trajectory, replicates: int = REPLICATES) -> HsicSums:
    weights = poisson_weights(0, made.ids, replicates)
    total = torch.einsum("nr,nsz->rsz", weights, _hsics(made))[None]
    return HsicSums(total, torch.tensor([len(made.ids)]), torch.tensor([0]), weights.sum(0)[None])


def test_the_sums_simulated_here_are_those_of_a_run() -> None:
    made = _correlated(8, 8, 4, seed=3)
    found = run(made, ["token_cka"], ALL)["token_cka"]
    torch.testing.assert_close(found.value(), _sums(made).value(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [8, 32, 128])
def test_the_interval_of_token_cka_covers_the_value_of_a_long_run(n: int) -> None:
    """A ratio of sums, between sites that are noisy copies of each other."""
    trials = 800 if n < 128 else 400
    values = [_sums(_correlated(n, 8, 4, seed)).value()[0][:, *PAIRS].T for seed in range(trials)]
    assert 0.93 <= _coverage(values, _long_run_cka(), n) <= 0.97


PAIRS = [0, 0, 1], [1, 2, 2]


@cache
def _long_run_cka() -> torch.Tensor:
    return _sums(_correlated(12_000, 8, 4, seed=10**5), 0).value()[0, 0][PAIRS]


def test_the_difference_of_two_subjects_on_the_same_examples_is_paired() -> None:
    draw = np.random.default_rng(0)
    shared = draw.normal(size=40)
    a, b = shared + 0.05 * draw.normal(size=40), shared + 0.05 * draw.normal(size=40) + 0.1
    widths = []
    for first in (0, 1000):
        difference = (_means(b, first).value() - _means(a, 0).value())[:, 1:].numpy()
        low, high = interval(difference, 40)
        widths.append(float((high - low)[0]))
    assert widths[0] < widths[1] / 8
    paired = (_means(b, 0).value() - _means(a, 0).value())[:, 1:].numpy()
    assert float(interval(paired, 40)[0][0]) > 0, "the interval of the paired difference leaves 0 out"
