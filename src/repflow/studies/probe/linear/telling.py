"""What a probe reads against what the model says, each above its own chance level."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from repflow.core import difference_limits, interval
from repflow.studies.probe.linear.predictions import Predictions
from repflow.studies.probe.linear.resampling import GroupBootstrap, Scores, difference_scores, share_scores


@dataclass(frozen=True, eq=False)
class Telling:
    """At S sites, for all classes together (place 0) and for each of the C classes; arrays are [S, 1 + C].

    The answers are the same at every site.
    """

    probe: Scores
    """Accuracy."""
    above: Scores
    """The same above chance, the class preference of the probe taken off: 0 at chance, 1 when always right."""
    answered: Scores
    """Share answered rightly, whose chance level is 0: an answer is free text."""
    difference: Scores
    """Above less answered, paired by group."""
    chosen_low: np.ndarray
    """The lower limit of the difference, corrected for the choice of the site among S, and for single classes of site
    and class among S x C."""


def compare_with_answers(
    predictions: Predictions, right: Bool[np.ndarray, " n"], stream: Sequence[int], seed: int = 0
) -> Telling:
    """Probes against answers at the sites given by index, `right` being whether each example was answered rightly.

    Of one class, what is above chance is how often the probe names it where the gold stands there, less how often it
    names it elsewhere: 0 for a probe that names classes blindly, whichever it prefers. The mean over balanced classes
    is (accuracy - 1/C) / (1 - 1/C), the share of examples whose class is known if the rest is guessed. All classes
    together: the same of the mean accuracy over classes. The probe speaks of the examples it was not trained on, the
    answers of all; both of one group have one weight, so that the difference is paired.
    """
    parts = _Parts(predictions, GroupBootstrap(predictions.groups, seed), list(stream))
    hits, false = parts.named()
    said, units = parts.answered(right), parts.units()
    balanced = _mean_over_classes(hits[:, 1:])
    probe = share_scores(hits, units)
    above, above_scores = _above(hits, false, balanced, units)
    answered = share_scores(np.broadcast_to(said, above.shape), np.broadcast_to(parts.asked(), units.shape))
    difference = above - said
    low, high = difference_limits(
        (said[..., 0], answered.ci_low, answered.ci_high, np.broadcast_to(said[..., 1:], above[..., 1:].shape)),
        (above_scores.value, above_scores.ci_low, above_scores.ci_high, above[..., 1:]),
        units,
    )
    scores = Scores(difference[..., 0], low, np.minimum(high, 1.0))
    return Telling(probe, above_scores, answered, scores, np.minimum(low, _chosen(difference, units)))


def _mean_over_classes(hits: np.ndarray) -> np.ndarray:
    """[S, 1 + B], of the classes that are there."""
    there = np.isfinite(hits)
    with np.errstate(invalid="ignore"):
        return np.where(there, hits, 0).sum(1) / there.sum(1)


def _above(hits: np.ndarray, false: np.ndarray, balanced: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, Scores]:
    """Replicates [S, 1 + C, 1 + B] and scores."""
    classes = int(np.isfinite(hits[0, 1:, 0]).sum())
    guess = 1 / classes
    together = share_scores(balanced, units[:, 0])
    each = difference_scores(hits[:, 1:], false, units[:, 1:])
    replicates = np.concatenate([((balanced - guess) / (1 - guess))[:, None], hits[:, 1:] - false], axis=1)
    ends = (
        np.concatenate([((own - guess) / (1 - guess))[:, None], single], axis=1)
        for own, single in ((together.ci_low, each.ci_low), (together.ci_high, each.ci_high))
    )
    return replicates, Scores(replicates[..., 0], *ends)


def _chosen(difference: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The value less the largest deviation over sites, and over the classes of all sites."""
    deviations = difference[..., 1:] - difference[..., :1]
    over_sites = interval(deviations[:, 0].max(0), units[0, 0])[1]
    of_classes = np.where(np.isnan(deviations[:, 1:]), -np.inf, deviations[:, 1:])
    over_all = interval(of_classes.max((0, 1)), units[0, 0])[1]
    margin = np.where(np.arange(difference.shape[1]) == 0, over_sites, over_all)
    return difference[..., 0] - margin


@dataclass(frozen=True, eq=False)
class _Parts:
    """Replicates of means over the tested examples, of all classes and of each."""

    p: Predictions
    bootstrap: GroupBootstrap
    stream: list[int]

    @property
    def tested(self) -> np.ndarray:
        return (~self.p.train).sum(0)

    @property
    def of_class(self) -> np.ndarray:
        """[1 + C, N]: every example, then those of each class."""
        own = np.arange(self.p.classes)[:, None] == self.p.labels
        return np.concatenate([np.ones_like(own[:1]), own])

    def named(self) -> tuple[Float[np.ndarray, "s c1 replicates"], Float[np.ndarray, "s c replicates"]]:
        """How often a class is named where it stands, all first, and how often where it does not."""
        p, of_class = self.p, self.of_class
        predicted = p.predicted[:, self.stream]
        hits = ((predicted == p.labels) & ~p.train[:, None]).sum(0)[:, None] * of_class
        classes = np.arange(p.classes)[:, None, None, None]
        named = ((predicted == classes) & ~p.train[:, None]).sum(1).swapaxes(0, 1)
        elsewhere = ~of_class[1:]
        return (
            self.bootstrap.means(hits, self.tested * of_class),
            self.bootstrap.means(named * elsewhere, self.tested * elsewhere),
        )

    def answered(self, right: np.ndarray) -> Float[np.ndarray, "c1 replicates"]:
        return self.bootstrap.means(right * self.of_class, self.of_class)

    def asked(self) -> np.ndarray:
        """Groups with an answer, [1 + C]."""
        return self.bootstrap.units(self.of_class)

    def units(self) -> np.ndarray:
        """Groups tested, [S, 1 + C]."""
        of_class = self.bootstrap.units(self.tested * self.of_class)
        return np.broadcast_to(of_class, (len(self.stream), *of_class.shape))
