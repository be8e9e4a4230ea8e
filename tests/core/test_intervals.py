"""What the intervals cover: the rows of docs/benchmarks.md that are promised, at fewer trials."""

import math

import numpy as np
import pytest

from repflow.core import MIN_UNITS, interval


def _covered(examples: np.ndarray, truth: float, draw: np.random.Generator) -> float:
    """Of means of examples [trials, units, examples a unit], whole units resampled."""
    trials, units, each = examples.shape
    hits = 0
    for some in np.array_split(examples, -(-trials // 250)):
        weights = draw.poisson(1.0, (len(some), units, 200)).astype(np.float32)
        with np.errstate(invalid="ignore"):
            means = np.einsum("tu,tur->tr", some.sum(2, dtype=np.float32), weights) / (each * weights.sum(1))
        low, high = interval(means, units)
        hits += int(((low <= truth) & (truth <= high)).sum())
    return hits / trials


@pytest.mark.parametrize("units", [8, 10, 30, 100])
def test_light_tails_are_covered(units: int) -> None:
    draw = np.random.default_rng(units)
    assert 0.93 <= _covered(draw.normal(size=(1500, units, 1)), 0.0, draw) <= 0.975


@pytest.mark.parametrize("units", [30, 100])
def test_lognormal_values_are_covered_from_thirty_units(units: int) -> None:
    draw = np.random.default_rng(units)
    assert _covered(draw.lognormal(size=(1500, units, 1)), math.exp(0.5), draw) >= 0.9


@pytest.mark.parametrize("units", [8, 30])
def test_neighbours_that_are_alike_are_covered_by_units_and_not_without(units: int) -> None:
    """AR(1) of rho 0.6 in units of 12, whose neighbouring means correlate by 0.09."""
    draw = np.random.default_rng(units)
    series = draw.normal(size=(1500, 12 * units))
    series[:, 0] /= math.sqrt(1 - 0.6**2)
    for place in range(1, series.shape[1]):
        series[:, place] += 0.6 * series[:, place - 1]
    assert _covered(series.reshape(1500, units, 12), 0.0, draw) >= 0.92
    assert _covered(series[:, :units, None], 0.0, draw) <= 0.85


def test_the_side_that_replicates_lean_to_is_taken_further_out() -> None:
    draws = np.random.default_rng(0).gamma(2.0, size=4000)
    low, high = interval(draws, 1000)
    plain = np.quantile(draws, [0.025, 0.975])
    assert low == pytest.approx(plain[0], rel=0.02)
    assert high > 1.05 * plain[1]
    mirrored = interval(-draws, 1000)
    np.testing.assert_allclose(mirrored, [-high, -low])


def test_ends_lie_within_the_replicates() -> None:
    draws = np.random.default_rng(0).pareto(1.1, size=(50, 200))
    low, high = interval(draws, MIN_UNITS)
    assert (low >= draws.min(1)).all()
    assert (high <= draws.max(1)).all()


def test_a_constant_has_no_width_and_no_warning() -> None:
    assert interval(np.full(200, 0.3), 30) == (0.3, 0.3)
