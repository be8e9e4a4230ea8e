"""What is read against what is said, each above its own chance level, the probe's preferences taken off."""

import numpy as np
import pytest
from probing_answers import crossed_groups, guesses, predictions, splits

from repflow.studies.probe.linear import compare_with_answers

CLASSES, N_GROUPS = 4, 40
LABELS, GROUPS = crossed_groups(N_GROUPS, CLASSES)
N = len(LABELS)


def compared(said: np.ndarray, right: np.ndarray, train: np.ndarray | None = None):
    p = predictions(said, LABELS, GROUPS, CLASSES, train)
    return compare_with_answers(p, right, range(p.predicted.shape[1]))


def test_scores_are_plain_counts() -> None:
    said = guesses(0, n_groups=N_GROUPS, classes=CLASSES, sites=3, alike=0.5, weights=[0.4, 0.3, 0.2, 0.1])
    said[:, 1] = np.where(np.random.default_rng(1).random(N) < 0.5, LABELS, said[:, 1])
    right, train = np.random.default_rng(2).random(N) < 0.3, splits(GROUPS)
    found = compared(said, right, train)
    for s in range(3):
        tested = [
            (int(p), int(c)) for r in range(5) for p, c, t in zip(said[r, s], LABELS, train[r], strict=True) if not t
        ]
        accuracy = np.mean([p == c for p, c in tested])
        assert found.probe.value[s, 0] == pytest.approx(accuracy)
        assert found.above.value[s, 0] == pytest.approx((accuracy - 1 / CLASSES) / (1 - 1 / CLASSES))
        for c in range(CLASSES):
            there = np.mean([p == c for p, gold in tested if gold == c])
            elsewhere = np.mean([p == c for p, gold in tested if gold != c])
            assert found.probe.value[s, 1 + c] == pytest.approx(there)
            assert found.above.value[s, 1 + c] == pytest.approx(there - elsewhere)
            assert found.answered.value[s, 1 + c] == pytest.approx(right[c == LABELS].mean())
        assert found.above.value[s, 1:].mean() == pytest.approx(found.above.value[s, 0])
    np.testing.assert_allclose(found.difference.value, found.above.value - found.answered.value)
    for scores in (found.probe, found.above, found.answered, found.difference):
        assert (scores.ci_low < scores.value).all()
        assert (scores.value < scores.ci_high).all()


@pytest.mark.parametrize("preferred", [0, 2])
def test_a_probe_that_prefers_a_class_knows_nothing_of_it(preferred: int) -> None:
    """Plain accuracy at that class is 100%, and 100 points ahead of a model that never answers."""
    found = compared(np.full((1, N), preferred), np.zeros(N, bool))
    assert found.probe.value[0, 1 + preferred] == 1.0
    np.testing.assert_allclose(found.above.value[0], 0, atol=1e-12)
    assert (found.difference.ci_low < 0).all()
    assert (found.difference.ci_high > 0).all()


def test_a_mild_preference_is_no_knowledge_either() -> None:
    clear = 0
    for trial in range(20):
        said = guesses(trial, n_groups=N_GROUPS, classes=CLASSES, sites=1, alike=0.0, weights=[0.7, 0.1, 0.1, 0.1])
        found = compared(said, np.zeros(N, bool), splits(GROUPS))
        assert found.probe.ci_low[0, 1] > 0.3, "far above 1 in 4 by itself"
        clear += int((found.difference.ci_low[0] > 0).any())
    assert clear <= 3, "five intervals of 95% a trial"


def test_what_is_known_whenever_it_is_told_differs_by_nothing() -> None:
    """Groups of which all or nothing is right vary much; the difference hardly, as it is paired."""
    good = GROUPS % 2 == 0
    guess = guesses(3, n_groups=N_GROUPS, classes=CLASSES, sites=1, alike=0.0)[:1]
    for said, right in ((LABELS[None, None], np.ones(N, bool)), (np.where(good, LABELS, guess), good)):
        found = compared(said, right)
        assert abs(found.difference.value[0, 0]) < 0.1
        assert found.difference.ci_low[0, 0] < 0 < found.difference.ci_high[0, 0]
    assert found.probe.ci_high[0, 0] - found.probe.ci_low[0, 0] > 0.2
    assert found.difference.ci_high[0, 0] - found.difference.ci_low[0, 0] < 0.3


def test_all_read_and_nothing_said_has_an_interval() -> None:
    found = compared(LABELS[None], np.zeros(N, bool))
    assert (found.difference.value == 1).all()
    assert (found.difference.ci_high == 1).all()
    assert (found.difference.ci_low < 0.92).all()
    assert (found.difference.ci_low > 0.7).all()


def test_the_limit_at_a_chosen_site_is_lower() -> None:
    said = guesses(4, n_groups=N_GROUPS, classes=CLASSES, sites=13, alike=0.0)
    found = compared(said, np.zeros(N, bool), splits(GROUPS))
    assert (found.chosen_low <= found.difference.ci_low).all()
    assert (found.chosen_low < found.difference.ci_low - 0.01).mean() > 0.9
    assert (found.chosen_low < 0).all(), "of noise nothing is shown, at any site or class"


def test_a_class_that_is_not_there_is_left_out() -> None:
    labels, groups = crossed_groups(20, 2)
    p = predictions(labels[None], labels, groups, 3)
    found = compare_with_answers(p, np.zeros(40, bool), [0])
    assert np.isnan(found.above.value[0]).tolist() == [False, False, False, True]
    assert found.above.value[0, 0] == 1.0
    assert not np.isnan(found.chosen_low[0, :3]).any()


def test_few_groups_have_no_interval() -> None:
    labels, groups = crossed_groups(4, CLASSES)
    found = compare_with_answers(predictions(labels[None], labels, groups, CLASSES), np.zeros(16, bool), [0])
    assert np.isnan(found.difference.ci_low).all()
    assert np.isnan(found.chosen_low).all()
