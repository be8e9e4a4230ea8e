"""The number behind a claim, of one model, read from the rows of the runs inside a paper run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repflow.core import PathRow
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.attribute.rows import ShareRow
from repflow.studies.dynamics.rows import BoundRow
from repflow.studies.paper.curves import Choice, Curve, Number, curve_of
from repflow.studies.probe.rows import ProbeSummaryRow
from repflow.studies.probe.verdicts import ABOVE, LEVEL

if TYPE_CHECKING:
    import pandas as pd

    from repflow.store import Run

Runs = Mapping[str, "Run"]
LIKENESS = "inter_token_cosine"
_RANDOM = "config"
"""The initialisation that decides: the family's own."""


@dataclass(frozen=True)
class Reading:
    """A number of one model on one task, or why there is none."""

    part: str
    task: str
    context: int
    number: Number | None
    detail: str = ""
    """What distinguishes it from other readings of the same statistic: a scheme, a change, what is probed."""
    reason: str = ""
    blocks: int = 0
    """How many blocks the model has, where a place in depth is read."""

    def same_as(self, other: "Reading") -> bool:
        """Whether both are of the same task, context and detail."""
        return (self.task, self.context, self.detail) == (other.task, other.context, other.detail)


def _flow_part(choice: Choice) -> str:
    return "flow-hf" if choice.hf else "flow"


def along(
    runs: Runs, label: str, choice: Choice, metric: str, statistic: Callable[[Curve], np.ndarray]
) -> Sequence[Reading]:
    """A statistic of a quantity along depth."""
    part = _flow_part(choice)
    if part not in runs:
        return ()
    curve = curve_of(runs[part], label, metric, choice)
    if curve is None:
        return ()
    task, context = _where(runs[part].layers, label)
    number = curve.of(statistic)
    if np.isnan(number.value):
        return [Reading(part, task, context, None, reason="too few blocks for thirds of depth")]
    return [Reading(part, task, context, number)]


def path(metric: str) -> Callable[[Runs, str, Choice], Sequence[Reading]]:
    """A metric of tokens' whole paths, in units of the path's own scale."""

    def read(runs: Runs, label: str, choice: Choice) -> Sequence[Reading]:
        part = _flow_part(choice)
        if part not in runs:
            return ()
        rows = _of(
            runs[part].table("paths", PathRow), subject=label, metric=metric, variant="rms", tokens=choice.tokens
        )
        return [_reading(part, row, "value", "ci_low", "ci_high") for row in rows]

    return read


def drawn(third: str) -> Callable[[Runs, str, Choice], Sequence[Reading]]:
    """The likeness of tokens with weights drawn anew, a reading a scheme."""

    def read(runs: Runs, label: str, choice: Choice) -> Sequence[Reading]:
        rows = _shares(runs, label, choice, third)
        return [
            _reading("attribute", row, "random", "random_low", "random_high", detail=str(row["scheme"]))
            for row in rows
            if "+" not in row["scheme"]
        ]

    return read


def share(third: str) -> Callable[[Runs, str, Choice], Sequence[Reading]]:
    """The share of the trained likeness that the family's own initialisation shows."""

    def read(runs: Runs, label: str, choice: Choice) -> Sequence[Reading]:
        rows = [row for row in _shares(runs, label, choice, third) if row["scheme"] == _RANDOM]
        return [
            _reading("attribute", row, "share", "share_low", "share_high")
            if row["share"] is not None
            else _without("attribute", row, "the trained likeness is not clearly above 0, there is nothing to share")
            for row in rows
        ]

    return read


def _shares(runs: Runs, label: str, choice: Choice, third: str) -> list[dict[str, Any]]:
    if "attribute" not in runs:
        return []
    frame = runs["attribute"].table("shares", ShareRow)
    return _of(frame, subject=label, metric=LIKENESS, variant=choice.variant, tokens=choice.tokens, third=third)


def changed(third: str) -> Callable[[Runs, str, Choice], Sequence[Reading]]:
    """What taking norms away, or making attention local, does to the likeness of tokens; a reading a change."""

    def read(runs: Runs, label: str, choice: Choice) -> Sequence[Reading]:
        if "ablate" not in runs:
            return ()
        frame = runs["ablate"].table("ablations", AblationRow)
        rows = _of(
            frame,
            subject=label,
            metric=LIKENESS,
            variant=choice.variant,
            tokens=choice.tokens,
            scope=third,
            blocks="all",
        )
        return [
            _reading("ablate", row, "difference", "difference_low", "difference_high", detail=str(row["what"]))
            if any(row[f"difference{end}"] != 0 for end in ("", "_low", "_high"))
            else _without("ablate", row, "the change changes nothing in it here", str(row["what"]))
            for row in rows
            if row["what"].startswith(("norm_", "attention_"))
        ]

    return read


def contraction(runs: Runs, label: str, choice: Choice) -> Sequence[Reading]:
    """1 less the largest transition of all blocks: no estimate but an extreme, which other text may exceed."""
    del choice
    if "dynamics" not in runs:
        return ()
    rows = _of(runs["dynamics"].table("bounds", BoundRow), subject=label, name="rho")
    rows = [row for row in rows if row["measured"] is not None]
    if not rows:
        return ()
    row = max(rows, key=lambda each: float(each["measured"]))
    left = 1 - float(row["measured"])
    number = Number(left, left, left, 0)
    return [
        Reading("dynamics", str(row["task"]), int(row["context"]), number, reason="of the tokens read, no estimate")
    ]


def gap(runs: Runs, label: str, choice: Choice) -> Sequence[Reading]:
    """By how much the last layer falls below the best site, a reading for every task, context, target and place."""
    name = "norm_gap" if choice.hf else "gap"
    return [
        _probed(part, row, name, f"{name}_low", f"{name}_high") for part, row in _summaries(runs, label)
    ]  # fmt: skip


def peak(runs: Runs, label: str, choice: Choice) -> Sequence[Reading]:
    """Where in depth the best site is."""
    del choice
    return [
        _probed(part, row, "peak_depth", "peak_depth_low", "peak_depth_high") for part, row in _summaries(runs, label)
    ]


def _summaries(runs: Runs, label: str) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for part in ("probe-kvpr", "probe-mdqa"):
        if part in runs:
            rows = _of(runs[part].table("probe_summary", ProbeSummaryRow), subject=label)
            found += [
                (part, row | {"blocks": _blocks(runs[part], label)}) for row in rows if row["baseline_of"] is None
            ]
    return found


def _probed(part: str, row: dict[str, Any], value: str, low: str, high: str) -> Reading:
    where = f"{row['target']}, read at {row['position']}"
    blocks = int(row["blocks"])
    if row["verdict"] != ABOVE:
        reason = "no site is above chance" if row["verdict"] == LEVEL else "no interval: too few held out"
        return Reading(part, str(row["task"]), int(row["context"]), None, where, reason, blocks)
    if not (row["answered_low"] or 0) > 0:
        return Reading(part, str(row["task"]), int(row["context"]), None, where, "it does not answer", blocks)
    return _reading(part, row, value, low, high, detail=where, blocks=blocks)


def _blocks(run: "Run", label: str) -> int:
    return next((int(facts["n_blocks"]) for facts in run.subjects if facts["label"] == label), 0)


def _where(frame: "pd.DataFrame", label: str) -> tuple[str, int]:
    row = frame[frame["subject"] == label].iloc[0]
    return str(row["task"]), int(row["context"])


def _of(frame: "pd.DataFrame", **wanted: object) -> list[dict[str, Any]]:
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def _reading(
    part: str, row: dict[str, Any], value: str, low: str, high: str, *, detail: str = "", blocks: int = 0
) -> Reading:
    at, start, end = (np.nan if row[name] is None else float(row[name]) for name in (value, low, high))
    units = row.get("n_units") or row.get("n_groups") or row.get("n_examples") or 0
    number = Number(at, start, end, int(units))
    return Reading(part, str(row["task"]), int(row["context"]), number, detail, blocks=blocks)


def _without(part: str, row: dict[str, Any], reason: str, detail: str = "") -> Reading:
    return Reading(part, str(row["task"]), int(row["context"]), None, detail, reason)
