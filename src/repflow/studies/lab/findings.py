"""What a lab's contrasts and slopes say, in sentences; only those whose whole interval leaves out no change."""

from collections.abc import Iterator, Sequence
from typing import Any

from repflow.drawing.labels import number
from repflow.studies.lab.outcomes import OUTCOMES
from repflow.studies.lab.rows import ContrastRow, GroupRow, SlopeRow

CONTRAST, SLOPE = "lab_contrast", "lab_slope"
"""Ids of the findings."""


def findings_of(
    groups: Sequence[GroupRow], contrasts: Sequence[ContrastRow], slopes: Sequence[SlopeRow]
) -> list[dict[str, Any]]:
    """Contrasts first, those of retrieval before those of flow; then slopes."""
    told = {(row.architecture, row.loss, row.outcome): row for row in groups if row.trained}
    return [*_contrasts(contrasts, told), *_slopes(slopes)]


def group_name(architecture: str, loss: str) -> str:
    """As the page calls it."""
    return architecture if loss == "none" else f"{architecture} + {loss}"


def _contrasts(
    contrasts: Sequence[ContrastRow], told: dict[tuple[str, str, str], GroupRow]
) -> Iterator[dict[str, Any]]:
    order = {name: place for place, name in enumerate(OUTCOMES)}
    for row in sorted(contrasts, key=lambda row: order[row.outcome]):
        if not (row.ci_low > 0 or row.ci_high < 0):
            continue
        name, than = group_name(row.architecture, row.loss), group_name(row.than_architecture, row.than_loss)
        mine = told[row.architecture, row.loss, row.outcome].mean
        other = told[row.than_architecture, row.than_loss, row.outcome].mean
        outcome = OUTCOMES[row.outcome]
        yield {
            "id": CONTRAST,
            "claim": f"{outcome.title}: {name} {number(mine)} against {than} {number(other)} {outcome.unit}, "
            f"difference {number(row.difference)} [{number(row.ci_low)}, {number(row.ci_high)}] ({row.trainings} and "
            f"{row.than_trainings} trainings, corrected for {row.contrasts} contrasts)",
            "value": row.difference,
            "interval": [row.ci_low, row.ci_high],
            "threshold": 0.0,
            "verdict": "above" if row.difference > 0 else "below",
            "units": row.trainings + row.than_trainings,
            "corrected_for": [f"{row.contrasts} contrasts of this outcome"],
            "evidence": [{"table": "contrasts", "architecture": row.architecture, "loss": row.loss,
                          "outcome": row.outcome}],
        }  # fmt: skip


def _slopes(slopes: Sequence[SlopeRow]) -> Iterator[dict[str, Any]]:
    for row in slopes:
        if not (row.ci_low > 0 or row.ci_high < 0):
            continue
        outcome = OUTCOMES[row.outcome]
        yield {
            "id": SLOPE,
            "claim": f"{outcome.title}, {outcome.unit}: {number(row.slope)} [{number(row.ci_low)}, "
            f"{number(row.ci_high)}] when the {row.factor} of {row.family} {'trained' if row.trained else 'as drawn'} "
            f"doubles ({row.models} models, {row.factor} {row.levels}; not corrected for looking at many slopes)",
            "value": row.slope,
            "interval": [row.ci_low, row.ci_high],
            "threshold": 0.0,
            "verdict": "rises" if row.slope > 0 else "falls",
            "units": row.models,
            "corrected_for": [],
            "evidence": [{"table": "slopes", "family": row.family, "trained": row.trained, "factor": row.factor,
                          "outcome": row.outcome}],
        }  # fmt: skip
