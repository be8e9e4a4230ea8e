"""Resampling units behind the rows of a table, and what run.json says of those of each task."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

if TYPE_CHECKING:
    import pandas as pd


def usable_units(rows: "pd.DataFrame", of: str = "") -> Int64[np.ndarray, " rows"]:
    """Units that an interval made of the rows' replicates may rest on; 0 where a row has no interval itself.

    `of` ends the names of the columns (`_a`, `_b` of two runs side by side). Rows that do not say count their examples.
    """
    import pandas as pd

    n = pd.to_numeric(rows[f"n_examples{of}"])
    if f"n_units{of}" in rows:
        n = pd.to_numeric(rows[f"n_units{of}"], errors="coerce").astype("Float64").fillna(n)
    told = rows[f"ci_low{of}"].notna() & rows[f"ci_high{of}"].notna()
    return n.where(told, 0).to_numpy(dtype=np.int64)


UNITS = ("n_units", "effective_n", "autocorrelation", "autocorrelation_of_units")
"""What run.json tells of the units of a task."""


def units_frame(info: Mapping[str, Any]) -> "pd.DataFrame":
    """A line for every subject, task and context: n_examples and UNITS, NaN where run.json does not say.

    A run of an older repflow, which resampled examples, has no lines.
    """
    import pandas as pd

    columns = ["subject", "task", "context", "n_examples", *UNITS]
    return pd.DataFrame(list(_lines(info)), columns=columns)


def told_units(info: Mapping[str, Any]) -> list[str]:
    """A line for every task and context, over all subjects; none of an older run."""
    frame = units_frame(info)
    if not len(frame):
        return []
    return [
        f"{task} at {context:,} tokens: {_told(rows)}"
        for (task, context), rows in frame.groupby(["task", "context"], sort=False)
    ]


def _told(rows: "pd.DataFrame") -> str:
    found = f"{_span(rows['n_units'], 0)} units, effective n {_span(rows['effective_n'], 1)}"
    known = rows["autocorrelation"].dropna()
    return found + (f", lag-1 autocorrelation of examples {_span(known, 2)}" if len(known) else "")


def _span(values: "Iterable[float]", digits: int) -> str:
    low, high = (f"{end(values):.{digits}f}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def _lines(info: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for task in info.get("tasks") or ():
        known = task.get("units") if isinstance(task, Mapping) else None
        if (
            isinstance(known, Mapping)
            and all(_number(known.get(name)) for name in UNITS[:2])
            and _number(task.get("context"))
        ):
            about = {"subject": task.get("subject"), "task": task.get("name"), "context": task.get("context")}
            told = {name: known.get(name) if _number(known.get(name)) else math.nan for name in UNITS}
            yield about | {"n_examples": task.get("n_examples")} | told


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
