"""What the models said: rows, accuracy with intervals, and how it stands against what the probes read."""

from collections.abc import Sequence

import numpy as np

from repflow.core import AnswerRow, Example, TellingRow, interval
from repflow.probing import GroupBootstrap, Predictions

Array = np.ndarray
Limits = tuple[float, float, float]
"""A value and its interval."""


def answer_rows(
    subject: str, task: str, context: int, examples: Sequence[Example], answers: Sequence[str], right: Array
) -> list[AnswerRow]:
    """One row an example."""
    return [
        AnswerRow(
            subject,
            task,
            context,
            example.id,
            example.group,
            example.gold_class or 0,
            example.gold_position or 0,
            example.n_positions or 0,
            len(example.ids),
            answer,
            bool(correct),
        )
        for example, answer, correct in zip(examples, answers, right, strict=True)
    ]


def answered(right: Array, groups: Array, seed: int) -> Limits:
    """The share of right answers [N], resampled by group."""
    bootstrap, all_of_them = GroupBootstrap(groups, seed), np.ones(len(right))
    return _limits(bootstrap.means(right, all_of_them), int(bootstrap.units(all_of_them)))


def telling_rows(
    place: tuple[str, str, int, str],
    sites: Sequence[tuple[str, str, int]],
    predictions: Predictions,
    right: Array,
    seed: int,
) -> list[TellingRow]:
    """Probe accuracy against the share answered rightly, for all classes together and each by itself.

    Both come from the same weights of the groups, so that the interval of their difference is paired. The probe speaks
    of the examples it was not trained on, the answers of all.

    Args:
        place: subject, task, context and position of the rows.
        sites: name and what to call it (`peak`, `last`), and index of each site to look at.
        right: bool [N], of the examples the predictions are about.
    """
    bootstrap = GroupBootstrap(predictions.groups, seed)
    tested = (~predictions.train).sum(0)
    rows: list[TellingRow] = []
    for name, at, index in sites:
        hits = ((predictions.predicted[:, index] == predictions.labels) & ~predictions.train).sum(0)
        for gold_class in (None, *range(predictions.classes)):
            here = predictions.labels == gold_class if gold_class is not None else np.ones(len(right), bool)
            probe, said = bootstrap.means(hits * here, tested * here), bootstrap.means(right * here, here)
            units = int(bootstrap.units(tested * here))
            values = (*_limits(probe, units), *_limits(said, int(bootstrap.units(here))), *_limits(probe - said, units))
            rows.append(TellingRow(*place, name, at, gold_class, *values))
    return rows


def _limits(replicates: Array, units: int) -> Limits:
    low, high = interval(replicates[1:], units)
    return float(replicates[0]), float(low), float(high)
