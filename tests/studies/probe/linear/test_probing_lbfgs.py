"""The best linear readout: scikit-learn's, with a strength chosen inside the training split."""

import numpy as np
import pytest
from probing_planted import Planted, accuracies, crossed
from probing_twins import logistic, regression, z_scores

from repflow.studies.probe.linear import Predictions, fit_probes
from repflow.studies.probe.linear import logistic as _logistic
from repflow.studies.probe.linear.splits import fold_numbers


def fitted(data: Planted, **more) -> Predictions:
    return fit_probes(data.features, data.labels, data.groups, classes=data.classes, solver="lbfgs", **more)


@pytest.mark.parametrize("strength", [1e3, 10.0, 0.1])
@pytest.mark.parametrize(
    "shape", [{"groups": 80, "width": 24}, {"groups": 12, "width": 120}, {"classes": 2, "width": 40}]
)
def test_at_equal_strength_it_is_scikit_learns(strength: float, shape: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_logistic, "STRENGTHS", (strength,))
    data = crossed((0.0, 1.0, 6.0), **shape)
    found = fitted(data, seeds=2)
    assert found.control is not None
    assert found.control_labels is not None
    for mine, labels in ((found.predicted, np.stack([data.labels] * 2)), (found.control, found.control_labels)):
        twin = np.full_like(mine, -1)
        for r, train in enumerate(found.train):
            for s, site in enumerate(data.features):
                model = logistic(site, labels[r], train, strength)
                twin[r, s, ~train] = model.predict(z_scores(site, train)[~train])
        assert (mine == twin).mean() > 0.998
        np.testing.assert_allclose(accuracies(mine, labels), accuracies(twin, labels), atol=0.01)


def test_the_strength_is_the_one_of_least_held_out_loss() -> None:
    data = crossed((0.0, 1.0, 3.0), groups=40)
    found = fitted(data, seeds=2, control=False)
    assert found.strength is not None
    assert found.strength.shape == (2, 3)
    for r, train in enumerate(found.train):
        folds = fold_numbers(data.groups, train, found.seeds[r])
        for s, site in enumerate(data.features):
            scored = z_scores(site, train)
            losses = [held_out_loss(scored, data.labels, folds, strength) for strength in _logistic.STRENGTHS]
            assert found.strength[r, s] == _logistic.STRENGTHS[int(np.argmin(losses))]
    assert (found.strength[:, 0] > found.strength[:, 2]).all()


def held_out_loss(scored: np.ndarray, labels: np.ndarray, folds: np.ndarray, strength: float) -> float:
    """`scored` with the statistics of the whole training split, not fitted again for each fold."""
    total = 0.0
    for fold in range(folds.max() + 1):
        others, held_out = (folds >= 0) & (folds != fold), folds == fold
        model = regression(strength, labels.max() + 1).fit(scored[others], labels[others])
        total -= model.predict_log_proba(scored[held_out])[np.arange(held_out.sum()), labels[held_out]].sum()
    return total


def test_test_examples_choose_nothing() -> None:
    data = crossed((1.0, 2.0), groups=40)
    before = fitted(data, seeds=1, control=False)
    tested = np.flatnonzero(~before.train[0])
    moved, left = tested[::2], tested[1::2]
    data.features[:, moved] *= 50
    labels = data.labels.copy()
    labels[tested] = labels[tested][::-1]
    after = fit_probes(data.features, labels, data.groups, classes=4, solver="lbfgs", seeds=1, control=False)
    assert before.strength is not None
    np.testing.assert_array_equal(after.strength, before.strength)
    np.testing.assert_array_equal(after.predicted[..., left], before.predicted[..., left])


def test_a_class_that_is_rare_or_absent_is_no_trouble() -> None:
    data = crossed((3.0,), groups=60, classes=3)
    labels = np.where(data.labels == 2, np.where(np.arange(len(data.labels)) < 9, 2, 0), data.labels)
    found = fit_probes(data.features, labels, data.groups, classes=5, solver="lbfgs", seeds=2)
    assert set(np.unique(found.predicted)) <= {-1, 0, 1, 2}
    assert accuracies(found.predicted, labels)[0] > 0.75
