"""What the models said: rows, accuracy with intervals, and how it stands against what the probes read."""

from collections.abc import Sequence

import numpy as np

from repflow.core import Example, Site
from repflow.studies.probe.linear import (
    DepthSummary,
    GroupBootstrap,
    Predictions,
    Scores,
    compare_with_answers,
    share_scores,
)
from repflow.studies.probe.rows import AnswerRow, TellingRow

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
    return limits(shares(right, groups, seed))


def shares(right: Array, groups: Array, seed: int) -> Scores:
    """The shares that are right [..., N], resampled by group."""
    bootstrap, all_of_them = GroupBootstrap(groups, seed), np.ones(right.shape[-1])
    return share_scores(bootstrap.means(right, all_of_them), bootstrap.units(all_of_them))


def telling_rows(
    place: tuple[str, str, int, str],
    sites: Sequence[Site],
    depth: DepthSummary,
    predictions: Predictions,
    right: Array,
    seed: int,
) -> list[TellingRow]:
    """Probes above chance against the share answered rightly, for all classes together and each by itself.

    At the peak, where there is one, and after the last block. See `repflow.studies.probe.linear.compare_with_answers`.

    Args:
        place: subject, task, context and position of the rows.
        sites: of the predictions, in order.
        right: bool [N], of the examples the predictions are about.
    """
    stream = [i for i, site in enumerate(sites) if not site.is_final_norm]
    found = compare_with_answers(predictions, right, stream, seed)
    names = [sites[i].name for i in stream]
    peak = [] if depth.peak is None else [("peak", depth.peak.site.name)]
    rows: list[TellingRow] = []
    for at, name in (*peak, ("last", depth.last.site.name)):
        for column, gold_class in enumerate((None, *range(predictions.classes))):
            cell = names.index(name), column
            value, low, high = limits(found.difference, cell)
            low = float(found.chosen_low[cell]) if at == "peak" else low
            values = (*limits(found.probe, cell), *limits(found.answered, cell), value, low, high)
            rows.append(TellingRow(*place, name, at, gold_class, *values, *limits(found.above, cell)))
    return rows


def limits(scores: Scores, cell: int | tuple[int, ...] = ()) -> Limits:
    """A value and its interval, out of many."""
    return float(scores.value[cell]), float(scores.ci_low[cell]), float(scores.ci_high[cell])
