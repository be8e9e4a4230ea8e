"""p-values of intervals, and their correction for looking at many."""

import math

import numpy as np
import pytest
from scipy import stats

from repflow.core.many import holm, p_values, p_values_apart


def test_p_is_005_where_the_interval_ends_at_0() -> None:
    found = p_values([0.5, -0.5, 0.5, 0.5], [0.0, -1.0, 0.1, -0.1], [1.0, 0.0, 0.9, 1.1], [12, 30, 12, 12])
    assert found[:2] == pytest.approx([0.05, 0.05])
    assert found[2] < 0.05 < found[3]


def test_p_goes_on_as_students_t() -> None:
    (found,) = p_values([3.0], [2.0], [4.0], [20])
    error = 1.0 / stats.t.ppf(0.975, 19)
    assert found == pytest.approx(2 * stats.t.sf(3 / error, 19))


def test_without_an_interval_there_is_no_p_and_no_difference_is_no_evidence() -> None:
    found = p_values([0.5, 0.0, 0.5], [math.nan, 0.0, 0.5], [math.nan, 0.0, 0.5], [12, 12, 12])
    assert math.isnan(found[0])
    assert found[1:].tolist() == [1.0, 0.0]


def test_two_samples_are_welchs_test() -> None:
    draws = np.random.default_rng(0)
    a, b = draws.normal(0, 1, 20), draws.normal(0.8, 2, 35)
    halves = [stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)) for x in (a, b)]
    (found,) = p_values_apart([b.mean() - a.mean()], (np.array([halves[0]]), np.array([halves[1]])), ([20], [35]))
    assert found == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_few_of_many_nulls_stand_the_correction() -> None:
    draws = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        samples = draws.normal(0, 1, (30, 25))
        half = stats.t.ppf(0.975, 24) * samples.std(1, ddof=1) / 5
        mean = samples.mean(1)
        wrong += min(holm(p_values(mean, mean - half, mean + half, np.full(30, 25)).tolist())) <= 0.05
    assert wrong <= 20
