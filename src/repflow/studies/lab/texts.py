"""What a lab's contrasts and slopes say, a sentence a quantity: what is clearly more, clearly less, and not clear."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from repflow.drawing.labels import estimate, joined
from repflow.studies.lab.findings import group_name
from repflow.studies.lab.outcomes import OUTCOMES

ANSWERS = ("kvpr 256", "kvpr 512", "text 256")
ALIKE = ("early, raw", "late, raw", "early, centred", "late, centred")


def contrasts_said(contrasts: pd.DataFrame, groups: pd.DataFrame, outcomes: Sequence[str]) -> Iterator[str]:
    """A sentence for every outcome and every group that others are compared with."""
    for outcome in outcomes:
        rows = contrasts[contrasts["outcome"] == outcome]
        for (architecture, loss), mine in rows.groupby(["than_architecture", "than_loss"], sort=False):
            yield _said(outcome, str(architecture), str(loss), mine, groups[groups["outcome"] == outcome])


def _said(outcome: str, architecture: str, loss: str, rows: pd.DataFrame, groups: pd.DataFrame) -> str:
    means = {(row["architecture"], row["loss"]): row["mean"] for row in groups.to_dict("records")}
    parts: dict[str, list[dict[Any, Any]]] = {"clearly more": [], "clearly less": [], "not clear": []}
    for row in rows.to_dict("records"):
        kind = "clearly more" if row["ci_low"] > 0 else "clearly less" if row["ci_high"] < 0 else "not clear"
        parts[kind].append(row)
    told = [
        f"{kind}: {joined(_with_mean(row, means, outcome) for row in found)}" for kind, found in parts.items() if found
    ]
    about = OUTCOMES[outcome]
    what = about.title if about.share else f"{about.title}, {about.unit}"
    what = what[0].upper() + what[1:]
    return f"{what}, against {group_name(architecture, loss)} ({_value(means[architecture, loss], outcome)}): " + (
        "; ".join(told) + "."
    )


def _with_mean(row: dict[Any, Any], means: dict[Any, float], outcome: str) -> str:
    key = row["architecture"], row["loss"]
    return f"{group_name(*key)} ({_value(means[key], outcome)})"


def _value(value: float, outcome: str) -> str:
    return f"{100 * value:.0f}%" if OUTCOMES[outcome].share else f"{value:.2f}"


def slopes_said(slopes: pd.DataFrame, outcomes: Sequence[str]) -> Iterator[str]:
    """A sentence for every clear slope."""
    for row in slopes[slopes["outcome"].isin(outcomes)].to_dict("records"):
        if row["ci_low"] <= 0 <= row["ci_high"]:
            continue
        about = OUTCOMES[row["outcome"]]
        value, limits = estimate(row["slope"], row["ci_low"], row["ci_high"])
        state = "trained" if row["trained"] else "as drawn"
        yield f"Twice the {row['factor']} of {row['family']} {state}: {about.title}, {about.unit}, {value} {limits}."
