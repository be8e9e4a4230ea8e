"""Intervals over units, draws and trainings, their p-values, and the correction for being several: by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from repflow.core import interval
from repflow.core.many import holm
from repflow.studies.attribute.interval import Error, Measured


def test_the_interval_by_hand() -> None:
    """Student's t over units and over draws, variances added, degrees of freedom of Welch and Satterthwaite."""
    n, seeds, error = 10, 4, 0.08
    replicates = np.random.default_rng(0).normal(0.5, 0.1, 500)
    low, high = (float(end) for end in interval(replicates, n))
    found = Measured(0.5, replicates, n, (Error(error**2, seeds - 1),)).span
    for end, half in zip(found[1:], (0.5 - low, high - 0.5), strict=True):
        se = half / stats.t.ppf(0.975, n - 1)
        freedom = (se**2 + error**2) ** 2 / (se**4 / (n - 1) + error**4 / (seeds - 1))
        assert abs(end - 0.5) == pytest.approx(stats.t.ppf(0.975, freedom) * math.hypot(se, error))
    fixed = np.full(200, 0.5)
    assert Measured(0.5, fixed, n, (Error(error**2, 3),)).span[2] - 0.5 == pytest.approx(stats.t.ppf(0.975, 3) * error)
    assert Measured(0.5, replicates, n).span == pytest.approx((0.5, low, high))
    assert Measured(0.5, fixed, n).span == (0.5, 0.5, 0.5)
    assert math.isnan(Measured(0.5, replicates, n, (Error(math.nan, 0),)).span[1])


def test_p_is_the_level_at_which_the_interval_touches() -> None:
    replicates = np.random.default_rng(1).normal(0.0, 0.1, 2000)
    low, high = (float(end) for end in interval(replicates, 20))
    for end in (low, high):
        shifted = Measured(-end, replicates - end, 20)
        assert shifted.p == pytest.approx(0.05)
    assert Measured(0.5, replicates + 0.5, 20).p < 0.001
    errors = (Error(0.01, 4),)
    value = Measured(0.0, replicates, 20, errors).span[2]
    assert Measured(value, replicates + value, 20, errors).p == pytest.approx(0.05, rel=0.1)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    found = holm([0.02, math.nan, 0.01])
    assert found[0] == pytest.approx(0.04)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.03), "one that cannot be told was looked at too"
