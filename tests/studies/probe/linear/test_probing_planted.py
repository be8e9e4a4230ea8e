"""What probes must find, and what they must not."""

import numpy as np
import pytest
from probing_planted import accuracies, crossed

from repflow.studies.probe.linear import fit_probes, summarise

SOLVERS = pytest.mark.parametrize("solver", ["adam", "lbfgs"])


@SOLVERS
def test_exactly_the_planted_sites_are_found(solver) -> None:
    strengths = tuple(4.0 if 3 <= s <= 5 else 0.0 for s in range(9))
    data = crossed(strengths, groups=100)
    summary = summarise(fit_probes(data.features, data.labels, data.groups, classes=4, solver=solver))
    assert np.flatnonzero(summary.accuracy.value > 0.9).tolist() == [3, 4, 5]
    assert np.flatnonzero(summary.accuracy.ci_low > 0.3).tolist() == [3, 4, 5]
    assert (np.delete(summary.accuracy.value, [3, 4, 5]) < 0.35).all()


@SOLVERS
def test_the_control_task_scores_chance_where_the_task_is_readable(solver) -> None:
    data = crossed((4.0, 0.0), groups=200)
    found = fit_probes(data.features, data.labels, data.groups, classes=4, solver=solver)
    assert found.control is not None
    np.testing.assert_allclose(accuracies(found.control, found.control_labels), 0.25, atol=0.05)
    assert accuracies(found.predicted, found.labels)[0] > 0.9


@SOLVERS
def test_a_group_leak_scores_chance_unless_the_groups_are_ignored(solver) -> None:
    """States that tell the group, labels that go with the group: nothing to learn, everything to remember."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(80), 5)
    labels = rng.integers(0, 4, 80)[groups]
    states = rng.normal(size=(80, 64))[groups] + 0.1 * rng.normal(size=(400, 64))
    kept = fit_probes(states[None], labels, groups, classes=4, solver=solver)
    ignored = fit_probes(states[None], labels, np.arange(400), classes=4, solver=solver)
    assert accuracies(kept.predicted, labels)[0] < 0.35
    assert accuracies(ignored.predicted, labels)[0] > 0.9


def test_one_feature_is_enough() -> None:
    """Token count alone, the baseline for position leaking through length."""
    rng = np.random.default_rng(0)
    labels, groups = np.tile(np.arange(2), 100), np.repeat(np.arange(100), 2)
    counts = 1000 + 30 * labels + rng.integers(0, 20, 200)
    found = fit_probes(counts[None, :, None].astype(np.float32), labels, groups, classes=2)
    assert accuracies(found.predicted, labels)[0] > 0.95
