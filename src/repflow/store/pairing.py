"""Paired intervals of the difference of two runs, where both measured the same examples."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from repflow.core import SHARES, interval, proportion_difference
from repflow.store.run import Run
from repflow.store.unit_facts import usable_units

if TYPE_CHECKING:
    import pandas as pd


def paired_intervals(joined: "pd.DataFrame", run_a: Run, run_b: Run) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """Lower and upper bounds [rows] of b - a, and for every row why it has none, or None.

    `joined` has, of each run, the line of its table in `row_a` and `row_b`. Replicates are aligned by line, never by
    order, and only where the hashes of the examples agree. A row that has no interval in one of the runs (too few
    resampling units) has no paired one either: its replicates hardly move.
    """
    low = np.full(len(joined), np.nan)
    high = np.full(len(joined), np.nan)
    reasons: list[str | None] = [None] * len(joined)
    hashes = _hashes(run_a), _hashes(run_b)
    seeds = _seed_reason(run_a, run_b)
    columns = ["table", "subject_a", "subject_b", "task", "context"]
    for key, group in joined.reset_index(drop=True).groupby(columns, sort=False):
        table, subject_a, subject_b, task, context = cast(tuple[str, str, str, str, int], key)
        lines = group.index.to_numpy()
        found_a = _hash_of(hashes[0], subject_a, task, context)
        found_b = _hash_of(hashes[1], subject_b, task, context)
        reason = (
            _examples_reason(found_a, found_b, f"{task} at {context}")
            or seeds
            or _replicates_reason(run_a, run_b, table)
        )
        for line in lines:
            reasons[line] = reason
        if reason is None:
            of_a = _replicates(run_a, table)[group["row_a"].to_numpy()]
            of_b = _replicates(run_b, table)[group["row_b"].to_numpy()]
            low[lines], high[lines] = _ends(group, of_a, of_b)
    return low, high, reasons


def _ends(group: "pd.DataFrame", of_a: np.ndarray, of_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of b - a from the replicates [rows, B] of both."""
    units = np.minimum(usable_units(group, "_a"), usable_units(group, "_b"))
    low, high = interval(of_b - of_a, units)
    shares = group["metric"].isin(SHARES).to_numpy(dtype=bool)
    if shares.any():
        a, b = (group[name].to_numpy(dtype=np.float64)[shares] for name in ("value_a", "value_b"))
        low[shares], high[shares] = proportion_difference(a, of_a[shares], b, of_b[shares], units[shares])
    return low, high


def _replicates(run: Run, table: str) -> np.ndarray:
    return run.replicates[table].astype(np.float64)


def _hashes(run: Run) -> dict[tuple[Any, Any, Any], str]:
    """(subject or None, task, context) -> sha256 of the examples."""
    return {
        (task.get("subject"), task.get("name"), task.get("context")): task["examples_sha256"]
        for task in run.info.get("tasks") or []
        if task.get("examples_sha256")
    }


def _hash_of(hashes: dict[tuple[Any, Any, Any], str], subject: Any, task: Any, context: Any) -> set[str] | None:
    """The hashes behind a row; a row of two subjects, `a ~ b`, rests on both. None where one is not known."""
    found = [
        hashes.get((label, task, context), hashes.get((None, task, context))) for label in str(subject).split(" ~ ")
    ]
    return None if None in found else {sha for sha in found if sha is not None}


def _examples_reason(a: set[str] | None, b: set[str] | None, where: str) -> str | None:
    if a is None or b is None:
        return f"{where}: a run did not record which examples it measured"
    if a != b:
        return f"{where}: the runs measured different examples (sha256 {_short(a)} and {_short(b)})"
    return None


def _short(hashes: set[str]) -> str:
    return ", ".join(sorted(sha[:8] for sha in hashes))


def _seed_reason(run_a: Run, run_b: Run) -> str | None:
    a, b = _seed(run_a), _seed(run_b)
    if a is None or b is None:
        return "a run did not record its seed"
    return None if a == b else f"the runs have different seeds ({a} and {b}), so different bootstrap weights"


def _seed(run: Run) -> Any:
    return run.info.get("seed", run.settings.get("seed"))


def _replicates_reason(run_a: Run, run_b: Run, table: str) -> str | None:
    shapes = [run.replicates[table].shape[1] if table in run.replicates else None for run in (run_a, run_b)]
    if table == "pairs":
        return "pairs: no run keeps the bootstrap replicates of CKA; set the intervals side by side"
    if None in shapes:
        return f"{table}: a run kept no bootstrap replicates"
    return None if shapes[0] == shapes[1] else f"{table}: the runs kept {shapes[0]} and {shapes[1]} replicates"
