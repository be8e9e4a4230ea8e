"""What a lab's contrasts and slopes say, a sentence a quantity: what is clearly more, clearly less, and not clear."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from repflow.drawing.labels import joined
from repflow.studies.kit.study import Answer
from repflow.studies.lab.findings import group_name
from repflow.studies.lab.frames import Lab
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
    more, less = _words(outcome)
    parts: dict[str, list[dict[Any, Any]]] = {more: [], less: [], "not clear": []}
    for row in rows.to_dict("records"):
        parts[more if row["ci_low"] > 0 else less if row["ci_high"] < 0 else "not clear"].append(row)
    told = [
        f"{kind}: {joined(_with_mean(row, means, outcome) for row in found)}" for kind, found in parts.items() if found
    ]
    about = OUTCOMES[outcome]
    what = about.title if about.share else f"{about.title}, {about.unit}"
    what = what[0].upper() + what[1:]
    return f"{what}, against {group_name(architecture, loss)} ({_value(means[architecture, loss], outcome)}): " + (
        "; ".join(told) + "."
    )


def _words(outcome: str) -> tuple[str, str]:
    """What more and less of it are called."""
    if OUTCOMES[outcome].cosine:
        return "clearly more alike", "clearly less alike"
    return ("clearly worse", "clearly better") if outcome.startswith("text") else ("clearly more", "clearly less")


def _with_mean(row: dict[Any, Any], means: dict[Any, float], outcome: str) -> str:
    key = row["architecture"], row["loss"]
    return f"{group_name(*key)} ({_value(means[key], outcome)})"


def _value(value: float, outcome: str) -> str:
    return f"{100 * value:.0f}%" if OUTCOMES[outcome].share else f"{value:.2f}"


def slopes_said(slopes: pd.DataFrame, outcomes: Sequence[str]) -> Iterator[str]:
    """A sentence a family, size and state of training: the change of each outcome when the size doubles."""
    rows = slopes[slopes["outcome"].isin(outcomes)]
    for (family, trained, factor), mine in rows.groupby(["family", "trained", "factor"], sort=False):
        clear = mine[(mine["ci_low"] > 0) | (mine["ci_high"] < 0)].to_dict("records")
        unclear = [str(name) for name in mine["outcome"] if name not in {row["outcome"] for row in clear}]
        told = [f"{row['outcome']} {_change(row)}" for row in clear]
        told += [f"not clear: {joined(unclear)}"] if unclear else []
        state = "trained" if trained else "as drawn"
        yield f"Twice the {factor} of {family} {state} changes the inter-token cosine: {'; '.join(told)}."


def _change(row: dict[Any, Any]) -> str:
    return f"{row['slope']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]".replace("-", "−")


def answers(lab: Lab) -> list[Answer]:
    """The grid's question, answered by retrieval and by likeness; the last says how far that goes."""
    found = [
        Answer(headline, " ".join(told))
        for headline, told in (
            ("What retrieves", [*contrasts_said(lab.contrasts, lab.summary, ANSWERS[:2])]),
            ("What reads text better", [*contrasts_said(lab.contrasts, lab.summary, ANSWERS[2:])]),
            ("What keeps tokens apart", [*contrasts_said(lab.contrasts, lab.summary, ALIKE)]),
            ("What size does", [*slopes_said(lab.slopes, ALIKE)]),
        )
        if told
    ]
    single = [group.name for group in lab.groups if len(group.labels) < 2]
    sizes = sorted({len(group.labels) for group in lab.groups})
    many = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    alone = f" Not compared, for it is one training: {joined(single)}." if single else ""
    care = (
        f"{many} models a group, one recipe, one size of data: the intervals say what another seed would change. "
        "Clear: the whole interval is on one side of 0; differences are corrected for their number, slopes are not."
        f"{alone}"
    )
    return [*found, Answer("What these sentences do not say", care)]
