"""Intervals of proportions: the textbook's at the bounds, true near them, the bootstrap's far from them."""

import numpy as np
import pytest
from scipy import stats

from repflow.core import interval, proportion, proportion_difference


def _replicates(outcomes: np.ndarray, seed: int = 0, draws: int = 200) -> np.ndarray:
    """Means of outcomes [..., units, examples], resampled by unit with Poisson weights; [..., draws]."""
    weights = np.random.default_rng(seed).poisson(1.0, (outcomes.shape[-2], draws))
    with np.errstate(invalid="ignore"):
        return outcomes.sum(-1) @ weights / (outcomes.shape[-1] * weights.sum(0))


def _covered(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    return float(((low <= truth + 1e-12) & (truth - 1e-12 <= high)).mean())


@pytest.mark.parametrize("units", [8, 30, 200])
@pytest.mark.parametrize("right", [0.0, 1.0])
def test_where_all_outcomes_are_equal_it_is_clopper_pearson_over_units(units: int, right: float) -> None:
    low, high = proportion(right, np.full(200, right), units)
    told = stats.binomtest(int(right) * units, units).proportion_ci(method="exact")
    assert (float(low), float(high)) == pytest.approx((told.low, told.high))


def test_thirty_of_thirty_right_has_an_interval() -> None:
    low, high = proportion(1.0, np.ones(200), 30)
    assert (float(low), float(high)) == pytest.approx((0.8843, 1.0), abs=1e-4)


def test_units_that_are_all_alike_between_the_bounds_have_a_width() -> None:
    """A share of 1/64 in every unit says no more of the units not seen than a share of 0 does."""
    low, high = proportion(1 / 64, np.full(200, np.float32(1 / 64)), 30)
    assert low < 1 / 64 < high
    assert high - low == pytest.approx(1 - 0.025 ** (1 / 30))


def test_too_few_units_have_none() -> None:
    low, high = proportion(np.array([1.0, 0.5, np.nan]), np.ones((3, 200)), np.array([7, 7, 30]))
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_far_from_the_bounds_it_is_the_bootstraps() -> None:
    outcomes = np.random.default_rng(1).random((60, 2)) < 0.5
    draws = _replicates(outcomes)
    np.testing.assert_array_equal(proportion(outcomes.mean(), draws, 60), interval(draws, 60))


def test_examples_alike_within_a_unit_do_not_count_as_many() -> None:
    alone = np.random.default_rng(2).random((20, 1)) < 0.9
    repeated = np.repeat(alone, 10, axis=1)
    wide, same = (proportion(o.mean(), _replicates(o), 20) for o in (alone, repeated))
    np.testing.assert_allclose(wide, same)


@pytest.mark.parametrize("units", [8, 30])
@pytest.mark.parametrize("truth", [0.02, 0.9, 0.99])
@pytest.mark.parametrize("examples", [1, 5])
def test_it_covers_near_the_bounds(units: int, truth: float, examples: int) -> None:
    """The bootstrap covers 8 to 90% of these."""
    draw = np.random.default_rng(units)
    within = draw.beta(3 * truth, 3 * (1 - truth), (300, units, 1)) if examples > 1 else truth
    outcomes = draw.random((300, units, examples)) < within
    draws = np.stack([_replicates(one, seed) for seed, one in enumerate(outcomes)])
    low, high = proportion(outcomes.mean((1, 2)), draws, units)
    assert _covered(low, high, truth) >= 0.91
    assert (low < high).all()
    assert (low >= 0).all()
    assert (high <= 1).all()


def test_a_difference_of_nothing_changed_has_a_width() -> None:
    for value in (0.0, 0.4, 1.0):
        draws = np.full(200, value)
        low, high = proportion_difference(value, draws, value, draws, 30)
        assert low < 0 < high, value


def test_a_difference_is_paired() -> None:
    """Right and wrong on the same units: the interval is narrower than that of other units would be, and covers."""
    draw = np.random.default_rng(3)
    before = draw.random((300, 60, 2)) < 0.5
    after = np.where(draw.random((300, 60, 2)) < 0.8, before, draw.random((300, 60, 2)) < 0.9)
    draws = [np.stack([_replicates(one, seed) for seed, one in enumerate(o)]) for o in (before, after)]
    means = before.mean((1, 2)), after.mean((1, 2))
    low, high = proportion_difference(means[0], draws[0], means[1], draws[1], 60)
    assert 0.93 <= _covered(low, high, 0.2 * 0.4) <= 0.99
    unpaired = proportion_difference(means[0], draws[0], means[1], draws[1][::-1], 60)
    assert (high - low).mean() < 0.8 * (unpaired[1] - unpaired[0]).mean()


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.3), (0.95, 0.98), (1.0, 1.0)])
def test_a_difference_covers_at_the_bounds(a: float, b: float) -> None:
    draw = np.random.default_rng(4)
    one, other = (draw.random((300, 30, 1)) < p for p in (a, b))
    draws = [np.stack([_replicates(x, seed) for seed, x in enumerate(o)]) for o in (one, other)]
    low, high = proportion_difference(one.mean((1, 2)), draws[0], other.mean((1, 2)), draws[1], 30)
    assert _covered(low, high, b - a) >= 0.93
    assert (high - low > 0.05).all()


def test_bounds_are_kept() -> None:
    low, high = proportion_difference(0.0, np.zeros(200), 1.0, np.ones(200), 10)
    assert -1 <= low < 1.0
    assert float(high) == 1.0
