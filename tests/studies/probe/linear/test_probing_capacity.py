"""The capacity control: labels that only the identity of the gold tells, in training and test alike."""

import numpy as np
import pytest
from probing_planted import crossed

from repflow.studies.probe.linear import Predictions, fit_probes, identity_labels, summarise
from repflow.studies.probe.linear.splits import apart_mask

GROUPS = np.repeat(np.arange(40) * 3 + 1, 5)


def test_labels_are_a_fixed_function_of_the_group() -> None:
    labels = identity_labels(GROUPS, 5, 0)
    assert all(len(set(labels[group == GROUPS])) == 1 for group in np.unique(GROUPS))
    assert np.bincount(labels).tolist() == [40] * 5
    order = np.random.default_rng(0).permutation(len(GROUPS))
    assert (identity_labels(GROUPS[order], 5, 0) == labels[order]).all()
    assert (identity_labels(GROUPS, 5, 1) != labels).any()


def test_every_group_stands_on_both_sides() -> None:
    train = apart_mask(GROUPS, 0)
    assert [(~train[group == GROUPS]).sum() for group in np.unique(GROUPS)] == [1] * 40
    assert (apart_mask(GROUPS, 1) != train).any()
    assert apart_mask(np.arange(9), 0).all(), "an example by itself trains"
    assert (~apart_mask(np.repeat([0, 1], [1, 10]), 0)).sum() == 2


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_states_that_tell_the_key_are_memorised_and_others_not(solver: str) -> None:
    rng = np.random.default_rng(0)
    named = rng.normal(size=(40, 64))[(GROUPS - 1) // 3] + 0.1 * rng.normal(size=(200, 64))
    features = np.stack([named, rng.normal(size=(200, 64))]).astype(np.float32)
    labels = np.tile(np.arange(5), 40)
    p = fit_probes(features, labels, GROUPS, classes=5, seeds=2, solver=solver)
    found = summarise(p)
    assert found.capacity is not None
    assert found.control is not None
    assert found.capacity.value[0] > 0.9
    assert found.capacity.ci_low[0] > 0.6
    assert found.capacity.ci_low[1] < 0.2 < found.capacity.ci_high[1]
    assert found.control.value.max() < 0.35, "no group comes back, so that permuted labels cannot be remembered"
    assert p.capacity is not None
    assert [(p.capacity[:, :, group == GROUPS] >= 0).sum() for group in np.unique(GROUPS)] == [2 * 2] * 40


def test_there_is_none_without_a_control_or_without_a_second_example() -> None:
    data = crossed((1.0,), groups=20, classes=2)
    without = fit_probes(data.features, data.labels, data.groups, classes=2, seeds=1, control=False)
    single = fit_probes(data.features, data.labels, np.arange(40), classes=2, seeds=1)
    for p in (without, single):
        assert p.capacity is None
        assert summarise(p).capacity is None


def test_predictions_of_an_earlier_version_have_none() -> None:
    data = crossed((1.0,), groups=20, classes=2)
    p = fit_probes(data.features, data.labels, data.groups, classes=2, seeds=1)
    old = Predictions(
        p.predicted, p.control, p.labels, p.control_labels, p.groups, p.train, p.classes, p.seeds, p.solver
    )
    assert summarise(old).capacity is None
    assert (summarise(old).accuracy.value == summarise(p).accuracy.value).all()
