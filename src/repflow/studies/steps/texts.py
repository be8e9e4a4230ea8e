"""What is seen in the figures of models in training, in a sentence or two made from their numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from repflow.drawing.labels import estimate, joined, number
from repflow.studies.kit.thirds import THIRDS

Shorts = Mapping[str, str]
"""Short name by subject label."""


def map_said(rows: pd.DataFrame, shorts: Shorts) -> str:
    """The largest move between a subject's first and last step, and the range at both ends, the final norm left out."""
    blocks = rows[~rows["final"]].dropna(subset=["value"])
    by_site = blocks.sort_values("step", kind="stable").groupby(["subject", "site"], sort=False)
    ends = by_site.agg(first=("value", "first"), last=("value", "last"), start=("step", "min"), end=("step", "max"))
    if ends.empty or (ends["start"] == ends["end"]).all():
        return ""
    most = ends.iloc[int((ends["last"] - ends["first"]).abs().argmax())]
    subject, site = most.name if isinstance(most.name, tuple) else ("", "")
    spans = [f"{number(ends[at].min())} to {number(ends[at].max())}" for at in ("first", "last")]
    return (
        f"The largest move is {shorts[subject]}'s at {site}: {number(most['first'])} {when(int(most['start']))}, "
        f"{number(most['last'])} at step {int(most['end']):,}. Over all subjects and sites but the final norm the "
        f"values run from {spans[0]} at the first step and from {spans[1]} at the last."
    )


def when(step: int) -> str:
    return "at initialisation" if step == 0 else f"at step {step:,}"


def curves_said(found: pd.DataFrame, shorts: Shorts) -> str:
    """The largest clear rise and fall, and where there is no clear change."""
    if found["clear"].isna().all():
        return "" if (found["first_step"] == found["last_step"]).all() else _unjudged(found, shorts)
    clear = found[found["clear"].fillna(False)]
    rises, falls = clear[clear["change"] > 0], clear[clear["change"] < 0]
    moves = [("rise", rises.nlargest(1, "change")), ("fall", falls.nsmallest(1, "change"))]
    told = [f"The largest {name} is in {_move(row, shorts)}." for name, part in moves for row in _records(part)]
    none = found[~found["clear"].fillna(True)]
    counts = f"{len(clear)} of {len(found)} thirds change clearly"
    told.append(f"{counts}; no clear change in {_places(none, shorts)}." if len(none) else f"{counts}.")
    return " ".join(told)


def _unjudged(found: pd.DataFrame, shorts: Shorts) -> str:
    (row,) = _records(found.iloc[[int(found["change"].abs().fillna(-1).argmax())]])
    return f"The largest change is in {_move(row, shorts)}; without intervals it is not known which changes are clear."


def _move(row: Mapping[Any, Any], shorts: Shorts) -> str:
    value, interval = estimate(row["change"], row["change_low"], row["change_high"])
    halved = "" if pd.isna(row["halfway_step"]) else f", more than half of it by step {row['halfway_step']:,}"
    return (
        f"{_third(row, shorts)}: {number(row['first'])} {when(row['first_step'])}, {number(row['last'])} at step "
        f"{row['last_step']:,} (change {' '.join(filter(None, (value, interval)))}){halved}"
    )


def _third(row: Mapping[Any, Any], shorts: Shorts) -> str:
    return f"the {row['third']} third of {shorts[row['subject']]}"


def _places(rows: pd.DataFrame, shorts: Shorts) -> str:
    """`a (early, late) and b (all thirds)`."""
    named: list[str] = []
    for subject, mine in rows.groupby("subject", sort=False):
        names = "all thirds" if len(mine) == len(THIRDS) else ", ".join(mine["third"])
        named.append(f"{shorts[str(subject)]} ({names})")
    return joined(named)


def table_said(found: pd.DataFrame, shorts: Shorts) -> str:
    """Where each subject's tokens are most alike at the end, and when half of a clear change was done."""
    return " ".join(filter(None, (_where(found, shorts), _when(found, shorts))))


def _where(found: pd.DataFrame, shorts: Shorts) -> str:
    if found["last_low"].isna().all():
        return ""
    named: dict[str | None, list[str]] = {}
    for subject, mine in found.groupby("subject", sort=False):
        top = _standing_out(mine)
        value = "" if top is None else f" ({number(mine['last'].max())})"
        named.setdefault(top, []).append(shorts[str(subject)] + value)
    said = [f"in the {third} third of {joined(named[third])}" for third in THIRDS if third in named]
    parts = [f"tokens are most alike {', '.join(said)}"] if said else []
    if None in named:
        parts.append(f"no third stands out in {joined(named[None])}")
    return f"At the end {'; '.join(parts)}."


def _standing_out(rows: pd.DataFrame) -> str | None:
    """The third whose interval at the end lies above those of the others; None where there is none."""
    if len(rows) < 2 or rows["last_low"].isna().any():
        return None
    top = rows.iloc[int(rows["last"].argmax())]
    others = rows[rows["third"] != top["third"]]
    return str(top["third"]) if top["last_low"] > others["last_high"].max() else None


def _when(found: pd.DataFrame, shorts: Shorts) -> str:
    halved = found[found["halfway_step"].notna()]
    if halved.empty:
        return ""
    first, last = halved["halfway_step"].min(), halved["halfway_step"].max()
    told = f"More than half of a clear change is done first by step {first:,} in {_at(halved, first, shorts)}"
    return f"{told}, last by step {last:,} in {_at(halved, last, shorts)}." if last > first else f"{told}."


def _at(halved: pd.DataFrame, step: int, shorts: Shorts) -> str:
    return _places(halved[halved["halfway_step"] == step], shorts)


def _records(frame: pd.DataFrame) -> Sequence[Mapping[Any, Any]]:
    return frame.to_dict("records")
