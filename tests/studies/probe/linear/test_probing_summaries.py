"""Summaries against naive loops, and the coverage of their intervals by simulation."""

from functools import cache

import numpy as np
import pytest
from probing_planted import crossed
from scipy.special import ndtr

from repflow.core import BadSetting, Site, proportion, proportion_difference, sites_for
from repflow.metrics import poisson_weights
from repflow.studies.probe.linear import Predictions, fit_probes, summarise, summarise_depth
from repflow.studies.probe.verdicts import ABOVE, LEVEL

SITES = sites_for(4)


@cache
def found() -> Predictions:
    data = crossed((0.0, 0.5, 2.0, 3.0, 1.0, 0.7), groups=50)
    keep = np.random.default_rng(0).random(len(data.labels)) > 0.2  # groups of unlike sizes, classes of unlike counts
    return fit_probes(data.features[:, keep], data.labels[keep], data.groups[keep], classes=4, seeds=3)


def naive(p: Predictions, score, weights: dict[int, float]) -> np.ndarray:
    """[S] weighted mean of score(r, s, n) over all splits' test examples; None leaves an example out."""
    means = []
    for s in range(p.predicted.shape[1]):
        total = count = 0.0
        for r in range(len(p.train)):
            for n in np.flatnonzero(~p.train[r]):
                value = score(r, s, n)
                if value is not None:
                    total += weights[int(p.groups[n])] * value
                    count += weights[int(p.groups[n])]
        means.append(total / count)
    return np.array(means)


def scores_by_name(p: Predictions) -> dict:
    assert p.control is not None
    assert p.control_labels is not None
    control, drawn = p.control, p.control_labels
    return {
        "accuracy": lambda r, s, n: p.predicted[r, s, n] == p.labels[n],
        "abs_error": lambda r, s, n: abs(int(p.predicted[r, s, n]) - int(p.labels[n])),
        "control": lambda r, s, n: control[r, s, n] == drawn[r, n],
        "selectivity": lambda r, s, n: (
            float(p.predicted[r, s, n] == p.labels[n]) - float(control[r, s, n] == drawn[r, n])
        ),
    }


@pytest.mark.parametrize("name", ["accuracy", "abs_error", "control", "selectivity"])
def test_scores_are_the_naive_loops(name: str) -> None:
    p = found()
    groups = [int(g) for g in np.unique(p.groups)]
    drawn = poisson_weights(5, groups, 200).numpy()
    score = scores_by_name(p)[name]
    columns = [dict(zip(groups, column, strict=True)) for column in drawn.T.tolist()]
    replicates = np.stack([naive(p, score, weights) for weights in columns], -1)
    mine = getattr(summarise(p, seed=5), name)
    np.testing.assert_allclose(mine.value, replicates[:, 0], atol=1e-12)
    low, high = limits(p, name, replicates, lambda score: np.stack([naive(p, score, w) for w in columns], -1))
    np.testing.assert_allclose(mine.ci_low, low, atol=1e-12)
    np.testing.assert_allclose(mine.ci_high, high, atol=1e-12)
    assert (mine.ci_low <= mine.value).all()
    assert (mine.value <= mine.ci_high).all()


def limits(p: Predictions, name: str, replicates: np.ndarray, of) -> tuple[np.ndarray, np.ndarray]:
    """Of a score in [0, 1], of one in classes, and of a difference of two."""
    units = len(np.unique(p.groups[(~p.train).any(0)]))
    if name == "selectivity":
        control, accuracy = (of(scores_by_name(p)[part]) for part in ("control", "accuracy"))
        return proportion_difference(control[:, 0], control[:, 1:], accuracy[:, 0], accuracy[:, 1:], units)
    largest = p.classes - 1 if name == "abs_error" else 1
    low, high = proportion(replicates[:, 0] / largest, replicates[:, 1:] / largest, units)
    return low * largest, high * largest


def test_accuracy_by_class_chance_majority_and_counts() -> None:
    p = found()
    summary = summarise(p)
    ones = dict.fromkeys((int(g) for g in p.groups), 1.0)
    for c in range(4):
        hit = naive(p, lambda r, s, n, c=c: p.predicted[r, s, n] == c if p.labels[n] == c else None, ones)
        np.testing.assert_allclose(summary.by_class.value[:, c], hit)
    assert summary.chance == 0.25
    right = total = 0
    for train in p.train:
        counts = [int((p.labels[train] == c).sum()) for c in range(4)]
        right += int((p.labels[~train] == counts.index(max(counts))).sum())
        total += int((~train).sum())
    assert summary.majority == right / total
    assert summary.n_train == round(np.mean([train.sum() for train in p.train]))
    assert summary.n_test == len({int(n) for train in p.train for n in np.flatnonzero(~train)})


def test_a_class_that_never_occurs_has_no_accuracy() -> None:
    data = crossed((1.0,), groups=60, classes=2)
    p = fit_probes(data.features, data.labels, data.groups, classes=3, seeds=1, control=False)
    summary = summarise(p)
    assert np.isnan(summary.by_class.value[0]).tolist() == [False, False, True]
    assert np.isnan(summary.by_class.ci_low[0]).tolist() == [False, False, True]
    assert summary.control is None
    assert summary.selectivity is None


def test_the_peak_and_the_gaps() -> None:
    p = found()
    depth, accuracy = summarise_depth(p, SITES), summarise(p).accuracy
    assert depth.verdict == ABOVE
    assert depth.n_sites == 5
    assert depth.peak is not None
    assert depth.peak.site.name == "block.2"
    assert depth.peak.first.index <= 3 <= depth.peak.last.index < 5
    assert depth.peak.accuracy == depth.highest
    assert depth.highest.value == accuracy.value[3]
    assert depth.highest.ci_low <= accuracy.ci_low[3], "chosen among five"
    assert depth.last.points is not None
    assert depth.last.relative is not None
    assert depth.last.site.name == "block.3"
    assert (depth.last.accuracy.value, depth.last.accuracy.ci_low) == (accuracy.value[4], accuracy.ci_low[4])
    assert depth.last.points.value == pytest.approx(accuracy.value[3] - accuracy.value[4])
    assert depth.last.relative.value == pytest.approx(1 - accuracy.value[4] / accuracy.value[3])
    assert depth.last.points.ci_low < depth.last.points.value < depth.last.points.ci_high
    assert depth.final_norm is not None
    assert depth.final_norm.points is not None
    assert depth.final_norm.points.value == pytest.approx(accuracy.value[3] - accuracy.value[5])


def test_the_final_norm_is_never_the_peak_and_need_not_be_there() -> None:
    labels, groups = np.tile(np.arange(2), 40), np.repeat(np.arange(40), 2)
    near = np.where(groups < 4, 0, labels)
    p = answered(np.stack([near, near, labels], 0), labels, groups)
    depth = summarise_depth(p, sites_for(1))
    assert depth.peak is not None
    assert depth.peak.site.name == "embed"
    assert depth.final_norm is not None
    assert depth.final_norm.points is not None
    assert depth.final_norm.points.value == pytest.approx(-0.05)
    none = summarise_depth(answered(np.stack([labels * 0, labels * 0, labels], 0), labels, groups), sites_for(1))
    assert (none.verdict, none.peak) == (LEVEL, None), "what the norm alone makes readable is no peak"
    only = answered(np.stack([labels, labels], 0), labels, groups)
    assert summarise_depth(only, (Site("hf.0", 0, 0.0), Site("hf.1", 1, 1.0))).final_norm is None


def test_sites_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadSetting, match="5 sites are named, the predictions are of 6"):
        summarise_depth(found(), sites_for(3))


def answered(predicted: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Predictions:
    """Predictions of one split whose examples are all tested; predicted [S, N]."""
    return Predictions(
        predicted=predicted[None].astype(np.int16),
        control=None,
        labels=labels,
        control_labels=None,
        groups=groups,
        train=np.zeros((1, len(labels)), dtype=bool),
        classes=int(labels.max()) + 1,
        seeds=(0,),
        solver="adam",
    )


PROFILES = {
    "flat": np.full(8, 0.5),
    "peak": 0.3 + 0.5 * np.exp(-(((np.arange(8) - 4) / 1.5) ** 2)),
    "plateau": np.where(np.arange(8) < 3, 0.3, np.where(np.arange(8) < 6, 0.7, 0.6)),
    "rise": np.linspace(0.3, 0.7, 8),
}


def simulated(profile: np.ndarray, trial: int, n_groups: int = 60, size: int = 3) -> Predictions:
    """Sites answer right with the profile's probabilities; answers of a group and of neighbouring sites go together."""
    rng = np.random.default_rng(trial)
    shared = rng.normal(size=(n_groups, len(profile))).repeat(size, 0)
    own = rng.normal(size=(n_groups * size, len(profile)))
    latent = 0.6 * shared + 0.8 * own
    for s in range(1, len(profile)):
        latent[:, s] = 0.7 * latent[:, s - 1] + np.sqrt(1 - 0.49) * latent[:, s]
    labels = rng.integers(0, 4, n_groups * size)
    right = ndtr(latent) < profile
    groups = np.repeat(np.arange(n_groups) + 1000 * trial, size)
    return answered(np.where(right.T, labels, (labels + 1) % 4), labels, groups)


TRIALS = 200


@pytest.mark.parametrize("name", PROFILES)
def test_intervals_of_peak_and_gap_cover(name: str) -> None:
    profile = PROFILES[name]
    best = np.flatnonzero(profile == profile.max())
    hits = {"accuracy": 0, "place": 0, "peak": 0, "gap": 0, "shown": 0}
    for trial in range(TRIALS):
        p = simulated(profile, trial)
        depth, accuracy = summarise_depth(p, sites_for(7)[:8]), summarise(p).accuracy
        assert depth.peak is not None
        assert depth.last.points is not None
        gap, low = profile.max() - profile[-1], depth.last.points.ci_low
        hits["accuracy"] += accuracy.ci_low[2] <= profile[2] <= accuracy.ci_high[2]
        hits["place"] += ((depth.peak.first.index <= best) & (best <= depth.peak.last.index)).any()
        hits["peak"] += depth.highest.ci_low <= profile.max() <= depth.highest.ci_high
        hits["gap"] += low - 1e-12 <= gap <= depth.last.points.ci_high + 1e-12
        hits["shown"] += low > gap + 1e-12
    shares = {key: hit / TRIALS for key, hit in hits.items()}
    assert 0.91 <= shares["accuracy"] <= 0.98
    assert shares["place"] >= 0.93
    assert shares["peak"] >= 0.91
    assert shares["gap"] >= 0.91
    assert shares["shown"] <= 0.05


def test_no_limit_of_an_accuracy_is_below_0() -> None:
    groups = np.repeat(np.arange(24), 2)
    labels = np.tile([0, 1], 24)
    right = groups[None] == np.arange(6)[:, None] + 6  # each site on a group of its own, one of those tested
    train = groups < 6
    predicted = np.where(train, -1, np.where(right, labels, 1 - labels)).astype(np.int16)
    found = summarise_depth(
        Predictions(predicted[None], None, labels, None, groups, train[None], 2, (0,), "adam"), SITES
    )
    assert found.highest.value == pytest.approx(1 / 18)
    assert found.highest.ci_low == 0
    assert found.verdict == LEVEL


def test_sites_that_tie_are_all_places_of_the_peak() -> None:
    labels, groups = np.tile(np.arange(4), 30), np.repeat(np.arange(30), 4)
    wrong = (labels + 1) % 4
    depth = summarise_depth(answered(np.stack([wrong, labels, labels, labels, wrong]), labels, groups), SITES[:5])
    assert depth.peak is not None
    assert [site.name for site in (depth.peak.site, depth.peak.first, depth.peak.last)] == [
        "block.0", "block.0", "block.2"
    ]  # fmt: skip
