"""What the predictions of probes amount to, site by site."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from repflow.studies.probe.linear.predictions import Predictions
from repflow.studies.probe.linear.resampling import GroupBootstrap, Scores, difference_scores, share_scores


@dataclass(frozen=True, eq=False)
class SiteSummary:
    """Scores over all splits' test examples, at S sites. Intervals over groups."""

    accuracy: Scores
    """[S]"""
    abs_error: Scores
    """[S] mean distance of the predicted class from the true one, in classes: positions away from the gold."""
    by_class: Scores
    """[S, C] accuracy on the examples of each class; NaN for a class that is not there."""
    control: Scores | None
    """[S] accuracy on the control task."""
    selectivity: Scores | None
    """[S] accuracy less control, paired."""
    capacity: Scores | None
    """[S] accuracy on labels that only the identity of the group tells: what the probe can memorise."""
    chance: float
    """Accuracy of guessing: 1 / C, of values the mean of 1 / (values of the prompt)."""
    majority: float
    """Accuracy of always answering the commonest class of the training split."""
    n_train: int
    """Examples that trained one split's probes, the mean over splits."""
    n_test: int
    """Different examples that some split tested."""
    n_groups: int
    """Different groups that some split tested: the units of the intervals."""


def summarise(predictions: Predictions, seed: int = 0) -> SiteSummary:
    """All scores of all sites. `seed` keys the bootstrap."""
    p, bootstrap = predictions, GroupBootstrap(predictions.groups, seed)
    tested = (~p.train).sum(0)
    accuracy = accuracy_replicates(p, bootstrap)
    control = control_replicates(p, bootstrap)
    by = p.labels if p.by is None else p.by
    of_class = np.arange(p.classes if p.by is None else by.max() + 1)[:, None] == by
    hits = _hits(p.predicted, p.labels[None], p.train)[:, None] * of_class
    units = int(bootstrap.units(tested))
    return SiteSummary(
        accuracy=share_scores(accuracy, units),
        abs_error=_abs_error(p, bootstrap, tested, units),
        by_class=share_scores(bootstrap.means(hits, tested * of_class), bootstrap.units(tested * of_class)),
        control=None if control is None else share_scores(control, units),
        selectivity=None if control is None else difference_scores(accuracy, control, units),
        capacity=_capacity(p, bootstrap),
        chance=p.chance,
        majority=majority(p),
        n_train=round(float(p.train.sum(1).mean())),
        n_test=int((tested > 0).sum()),
        n_groups=units,
    )


def _abs_error(p: Predictions, bootstrap: GroupBootstrap, tested: np.ndarray, units: int) -> Scores:
    """As a share of the largest error there can be, and back."""
    largest = p.classes - 1
    error = np.abs(p.predicted - p.labels[None, None]) * ~p.train[:, None] / largest
    found = share_scores(bootstrap.means(error.sum(0), tested), units)
    return Scores(found.value * largest, found.ci_low * largest, found.ci_high * largest)


def _capacity(p: Predictions, bootstrap: GroupBootstrap) -> Scores | None:
    if p.capacity is None or p.capacity_labels is None:
        return None
    trained = p.capacity[:, 0] < 0
    tested = (~trained).sum(0)
    right = _hits(p.capacity, p.capacity_labels[None], trained)
    return share_scores(bootstrap.means(right, tested), bootstrap.units(tested))


def accuracy_replicates(predictions: Predictions, bootstrap: GroupBootstrap) -> Float[np.ndarray, "s replicates"]:
    """The estimate, then its replicates."""
    p = predictions
    return bootstrap.means(_hits(p.predicted, p.labels[None], p.train), (~p.train).sum(0))


def control_replicates(predictions: Predictions, bootstrap: GroupBootstrap) -> Float[np.ndarray, "s replicates"] | None:
    """Of the control task."""
    p = predictions
    if p.control is None or p.control_labels is None:
        return None
    return bootstrap.means(_hits(p.control, p.control_labels, p.train), (~p.train).sum(0))


def _hits(predicted: np.ndarray, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Times [S, N] that a test example was predicted right, over the splits."""
    return ((predicted == labels[:, None]) & ~train[:, None]).sum(0)


def majority(p: Predictions) -> float:
    """Accuracy of always answering the commonest class of the training split."""
    right = 0
    for train in p.train:
        commonest = np.bincount(p.labels[train], minlength=p.classes).argmax()
        right += (p.labels[~train] == commonest).sum()
    return float(right / (~p.train).sum())
