"""Nothing is said of a probe that is not above chance, and no interval has no width."""

import numpy as np
import pytest
from probing_answers import crossed_groups, guesses, predictions, splits
from probing_planted import crossed

from repflow.core import Site, sites_for
from repflow.studies.probe.linear import DepthSummary, Predictions, fit_probes, summarise, summarise_depth
from repflow.studies.probe.verdicts import ABOVE, LEVEL, UNKNOWN, probe_verdict

CLASSES = 5
THIRTEEN = sites_for(12)[:13]


def depth_of(p: Predictions) -> DepthSummary:
    sites = tuple(Site(f"s{i}", i, i / 20) for i in range(p.predicted.shape[1]))
    return summarise_depth(p, sites)


@pytest.mark.parametrize(
    ("wrong", "value", "low", "high"),
    [(0, 1.0, 0.884, 1.0), (30, 0.0, 0.0, 0.116), (1, 29 / 30, 0.82, 0.999), (29, 1 / 30, 0.001, 0.18)],
)
def test_30_groups_all_right_all_wrong_and_but_for_one(wrong: int, value: float, low: float, high: float) -> None:
    """Clopper-Pearson over the groups at the bounds, whatever the number of splits; near them about Wilson's."""
    labels, groups = np.arange(30) % 2, np.arange(30)
    said = np.where(groups < wrong, 1 - labels, labels)
    for repeats in (1, 5):
        p = predictions(np.stack([[said]] * repeats), labels, groups, 2)
        found = summarise(p)
        assert found.n_groups == 30
        assert found.accuracy.value[0] == pytest.approx(value)
        assert found.accuracy.ci_low[0] == pytest.approx(low, abs=0.02)
        assert found.accuracy.ci_high[0] == pytest.approx(high, abs=0.02)
        assert found.abs_error.ci_low[0] < found.abs_error.ci_high[0]
        assert depth_of(p).highest.ci_low == pytest.approx(low, abs=0.02)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_probe_that_always_names_one_class_has_an_interval(classes: int) -> None:
    """Right once in every group: all groups are alike, in the middle of the scale."""
    labels, groups = crossed_groups(40, classes)
    found = summarise(predictions(np.zeros((1, len(labels)), int), labels, groups, classes))
    assert found.accuracy.value[0] == pytest.approx(1 / classes)
    assert found.accuracy.ci_low[0] < 1 / classes - 0.01
    assert found.accuracy.ci_high[0] > 1 / classes + 0.01
    assert (found.by_class.ci_high - found.by_class.ci_low > 0.05).all()


def test_no_interval_of_a_trained_probe_is_without_width() -> None:
    data = crossed((9.0, 9.0, 0.0), groups=60)
    p = fit_probes(data.features, data.labels, data.groups, classes=4, seeds=3)
    found = summarise(p)
    assert found.accuracy.value[0] == 1.0
    assert found.capacity is not None
    for name in ("accuracy", "control", "selectivity", "capacity", "abs_error", "by_class"):
        scores = getattr(found, name)
        assert (scores.ci_low < scores.ci_high).all(), name
    gap = depth_of(predictions(p.predicted[:, :2], data.labels, data.groups, 4, p.train)).last
    assert gap.points is not None
    assert gap.relative is not None
    for estimate in (gap.accuracy, gap.points, gap.relative):
        assert estimate.ci_low < estimate.value <= estimate.ci_high
        assert estimate.ci_low < estimate.ci_high


@pytest.mark.parametrize("n_groups", [4, 7])
def test_fewer_than_8_groups_have_no_interval_and_no_verdict(n_groups: int) -> None:
    labels, groups = crossed_groups(n_groups, CLASSES)
    p = predictions(np.stack([labels, labels]), labels, groups, CLASSES)
    assert np.isnan(summarise(p).accuracy.ci_low).all()
    depth = depth_of(p)
    assert (depth.verdict, depth.peak, depth.last.points) == (UNKNOWN, None, None)
    assert depth.highest.value == 1.0


@pytest.mark.parametrize("alike", [0.0, 0.8])
@pytest.mark.parametrize("n_groups", [20, 60])
def test_of_noise_at_13_sites_nothing_is_said(n_groups: int, alike: float) -> None:
    """The plain interval of the best of 13 would find something in 10 to 20%."""
    found = 0
    for trial in range(100):
        labels, groups = crossed_groups(n_groups, CLASSES, 1000 * trial)
        said = guesses(trial, n_groups=n_groups, classes=CLASSES, sites=13, alike=alike)
        depth = summarise_depth(predictions(said, labels, groups, CLASSES, splits(groups)), THIRTEEN)
        assert (depth.peak is None) == (depth.last.points is None) == (depth.verdict != ABOVE)
        found += depth.verdict == ABOVE
    assert found <= 6


@pytest.mark.parametrize("weights", [[0.6, 0.1, 0.1, 0.1, 0.1], [0.35, 0.35, 0.1, 0.1, 0.1]])
def test_of_noise_on_classes_of_unlike_size_nothing_is_said(weights: list[float]) -> None:
    """Probes that learnt nothing name the common classes more often, and are right more often than 1 in 5."""
    found = 0
    for trial in range(40):
        groups = np.arange(100) + 1000 * trial
        labels = np.random.default_rng(trial).choice(CLASSES, size=100, p=weights)
        said = guesses(trial, n_groups=20, classes=CLASSES, sites=13, alike=0.5, weights=weights)
        said[:, :4] = 0
        found += depth_of(predictions(said, labels, groups, CLASSES, splits(groups))).verdict == ABOVE
    assert found <= 3


def test_a_model_at_the_majority_class_is_not_above_chance() -> None:
    rng = np.random.default_rng(0)
    labels, groups = np.where(rng.random(300) < 0.7, 2, rng.integers(0, CLASSES, 300)), np.arange(300)
    p = predictions(np.full((3, 300), 2), labels, groups, CLASSES, splits(groups))
    depth = depth_of(p)
    assert depth.highest.ci_low > 1 / CLASSES, "far above 1 in 5"
    assert depth.verdict == LEVEL


@pytest.mark.parametrize(("share", "n_groups"), [(0.25, 60), (0.15, 200)])
def test_a_weak_signal_is_found(share: float, n_groups: int) -> None:
    """One site of 13 knows some of the places; what it does not know it guesses."""
    found = 0
    for trial in range(20):
        labels, groups = crossed_groups(n_groups, CLASSES, 1000 * trial)
        said = guesses(trial, n_groups=n_groups, classes=CLASSES, sites=13, alike=0.5)
        knows = np.random.default_rng(1000 + trial).random(len(labels)) < share
        said[:, 8] = np.where(knows, labels, said[:, 8])
        depth = summarise_depth(predictions(said, labels, groups, CLASSES, splits(groups)), THIRTEEN)
        found += depth.verdict == ABOVE
        if depth.peak is not None:
            assert depth.peak.site.index == 8
            assert depth.highest.ci_low <= 0.2 + 0.8 * share
    assert found >= 18


def test_probes_trained_on_noise_have_no_peak() -> None:
    data = crossed((0.0,) * 13, groups=60, width=16)
    for trial in range(3):
        p = fit_probes(data.features, data.labels, data.groups, classes=4, seeds=2, first_seed=trial, control=False)
        depth = summarise_depth(p, THIRTEEN)
        assert (depth.verdict, depth.peak) == (LEVEL, None)


def test_the_rule_itself() -> None:
    assert probe_verdict(0.31, 0.2, 0.3) == ABOVE
    assert probe_verdict(0.25, 0.2, 0.3) == LEVEL
    assert probe_verdict(0.2, 0.2, 0.2) == LEVEL
    assert probe_verdict(float("nan"), 0.2, 0.2) == UNKNOWN
