"""Two runs side by side: the same quantity in each, and how far apart they are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from repflow.core import BadFile, BadSetting, unknown
from repflow.core.many import holm, p_values, p_values_apart
from repflow.store.pairing import paired_intervals
from repflow.store.run import Run
from repflow.store.sense import making_sense
from repflow.store.steps import at_last_step, last_steps
from repflow.store.unit_facts import usable_units
from repflow.store.unmatched import unmatched

if TYPE_CHECKING:
    import pandas as pd

_KEYS = ["table", "subject", "task", "context", "site", "depth", "metric", "variant", "tokens"]
_VALUES = ["value", "ci_low", "ci_high", "n_examples", "n_units"]


def compare(
    run_a: Run,
    run_b: Run,
    *,
    metric: str | None = None,
    subject_a: str | None = None,
    subject_b: str | None = None,
) -> "pd.DataFrame":
    """The rows that two runs share, one a line, in the order of `run_a`.

    Rows match on everything that says what was measured. Subjects match by label; when each run has exactly one, they
    match whatever their labels. `subject_a` and `subject_b`, labels, take one subject of a run alone, so that
    `compare(run, run, subject_a=..., subject_b=...)` sets two subjects of one run side by side. In rows of two sites or
    two subjects, `site` and the subjects read `a ~ b`. Of a subject measured in training the last step is compared.

    Columns: table, subject_a, subject_b (as each run calls it), task, context, site, depth, metric, variant, tokens; of
    each run value, ci_low, ci_high, n_examples, n_units with `_a` or `_b`; `difference` = b - a; `difference_low` and
    `difference_high`, its paired 95% interval, NaN where the runs cannot be paired; `overlap`, whether the two
    intervals overlap, missing where one of them is; `paired`; `p`, of no difference, from the paired interval or else
    from the two intervals as if independent, and `p_holm`, the same corrected for looking at all these rows (Holm).

    A row is paired when both runs measured it on the same examples with the same seed and kept replicates: these share
    their bootstrap weights, so their differences are replicates of the difference. `attrs["paired"]` says whether all
    rows are; `attrs["unpaired_because"]` lists why not. `attrs["unmatched"]` counts, for `a` and for `b`, the rows
    without a partner by what they lack one for; `attrs["steps"]` holds the step of each subject measured in training.
    Raises UnknownName for a metric neither run has or a subject a run does not have, BadSetting when nothing is shared
    or the runs read different sites (--sites).
    """
    with making_sense(run_a, run_b):
        return _compared(run_a, run_b, metric, subject_a, subject_b)


def _compared(
    run_a: Run, run_b: Run, metric: str | None, subject_a: str | None, subject_b: str | None
) -> "pd.DataFrame":
    _refuse_other_sites(run_a, run_b)
    a, b = _of_subject(_rows(run_a), run_a, subject_a), _of_subject(_rows(run_b), run_b, subject_b)
    if metric is not None:
        known = {*a["metric"], *b["metric"]}
        if metric not in known:
            raise unknown("metric", metric, known)
        a, b = a[a["metric"] == metric], b[b["metric"] == metric]
    a, b = _matched_subjects(a, b)
    joined = _joined(a, b, run_a, run_b)
    if joined.empty:
        raise BadSetting(_nothing_shared(run_a, run_b, metric))
    joined["difference"] = joined["value_b"] - joined["value_a"]
    low, high, reasons = paired_intervals(joined, run_a, run_b)
    joined["difference_low"], joined["difference_high"] = low, high
    joined["overlap"] = _overlap(joined)
    joined["paired"] = [reason is None for reason in reasons]
    joined["p"] = _p_values(joined)
    known = joined["p"].notna()
    joined["p_holm"] = joined["p"].mask(known, 0.0)
    joined.loc[known, "p_holm"] = holm(joined.loc[known, "p"].tolist())
    frame = joined[_columns()].copy()
    frame.attrs["paired"] = bool(frame["paired"].all())
    frame.attrs["unpaired_because"] = sorted({reason for reason in reasons if reason is not None})
    frame.attrs["unmatched"] = {"a": unmatched(a, b), "b": unmatched(b, a)}
    frame.attrs["steps"] = {"a": _steps(run_a, a), "b": _steps(run_b, b)}
    return frame


def _refuse_other_sites(run_a: Run, run_b: Run) -> None:
    a, b = (run.settings.get("sites", "residual") for run in (run_a, run_b))
    if a != b:
        raise BadSetting(
            f"{run_a.directory} was read with --sites {a}, {run_b.directory} with --sites {b}: these are not the same "
            "places; run one of them again with the other's --sites"
        )


def _of_subject(rows: "pd.DataFrame", run: Run, subject: str | None) -> "pd.DataFrame":
    if subject is None:
        return rows
    known = [str(facts.get("label")) for facts in run.subjects]
    if subject not in known:
        raise unknown(f"subject of {run.directory}", subject, known)
    return rows[rows["subject"] == subject]


def _columns() -> list[str]:
    of_each = [f"{name}_{run}" for run in "ab" for name in _VALUES]
    ends = ["difference", "difference_low", "difference_high", "overlap", "paired", "p", "p_holm"]
    return ["table", "subject_a", "subject_b", *_KEYS[2:], *of_each, *ends]


def _rows(run: Run) -> "pd.DataFrame":
    """All tables of a run under one set of columns, in training the last step; `row` is the line in its own table."""
    import pandas as pd

    tables = {"layers": run.layers, "paths": run.paths, "pairs": run.pairs}
    last = last_steps(*tables.values())
    rows = {name: at_last_step(table.assign(row=np.arange(len(table))), last) for name, table in tables.items()}
    rows["paths"] = rows["paths"].assign(site="", depth=np.nan)
    pairs = rows["pairs"]
    rows["pairs"] = pairs.assign(
        subject=_both(pairs["subject_a"], pairs["subject_b"]),
        site=pairs["site_a"] + " ~ " + pairs["site_b"],
        depth=pairs["depth_a"],
    )
    frames = [frame.assign(table=name)[[*_KEYS, *_VALUES, "row"]] for name, frame in rows.items()]
    # Empty frames would lend their dtypes to the result.
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def _steps(run: Run, compared: "pd.DataFrame") -> dict[str, int]:
    last = last_steps(run.layers, run.pairs, run.paths)
    named = {label for subject in compared["subject"].unique() for label in str(subject).split(" ~ ")}
    return {subject: step for subject, step in last.items() if subject in named}


def _both(a: "pd.Series", b: "pd.Series") -> "pd.Series":
    return a.where(a == b, a + " ~ " + b)


def _matched_subjects(a: "pd.DataFrame", b: "pd.DataFrame") -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Adds the column `who`, equal for subjects that belong together."""
    single = a["subject"].nunique() == 1 and b["subject"].nunique() == 1
    return (
        a.assign(who="the subject" if single else a["subject"]),
        b.assign(who="the subject" if single else b["subject"]),
    )


def _joined(a: "pd.DataFrame", b: "pd.DataFrame", run_a: Run, run_b: Run) -> "pd.DataFrame":
    keys = ["who", *(key for key in _KEYS if key != "subject")]
    for frame, run in ((a, run_a), (b, run_b)):
        twice = frame[frame.duplicated(keys)]
        if len(twice):
            row = twice.iloc[0]
            raise BadFile(
                f"{run.directory} has {row['metric']} ({row['variant']}, {row['tokens']}) of {row['subject']} twice "
                f"for {row['task']} at {row['context']}; run it again with --overwrite"
            )
    return a.merge(b, on=keys, how="inner", suffixes=("_a", "_b"))


def _p_values(joined: "pd.DataFrame") -> np.ndarray:
    """Of the paired interval where there is one; else of the two intervals, each side towards the other value."""
    a, b, difference = (joined[name].to_numpy(dtype=float) for name in ("value_a", "value_b", "difference"))
    ends = {name: joined[name].to_numpy(dtype=float) for name in ("ci_low_a", "ci_high_a", "ci_low_b", "ci_high_b")}
    units = usable_units(joined, "_a"), usable_units(joined, "_b")
    rises = difference > 0
    halves = (
        np.where(rises, ends["ci_high_a"] - a, a - ends["ci_low_a"]),
        np.where(rises, b - ends["ci_low_b"], ends["ci_high_b"] - b),
    )
    low, high = (joined[f"difference_{end}"].to_numpy(dtype=float) for end in ("low", "high"))
    together = p_values(difference, low, high, np.minimum(*units))
    return np.where(joined["paired"], together, p_values_apart(difference, halves, units))


def _overlap(joined: "pd.DataFrame") -> "pd.Series":
    bounds = joined[["ci_low_a", "ci_high_a", "ci_low_b", "ci_high_b"]]
    meet = (joined["ci_low_a"] <= joined["ci_high_b"]) & (joined["ci_low_b"] <= joined["ci_high_a"])
    return meet.astype("boolean").mask(bounds.isna().any(axis=1))


def _nothing_shared(run_a: Run, run_b: Run, metric: str | None) -> str:
    bare = sorted(
        {str(run.directory) for run in (run_a, run_b) if not any(map(len, (run.layers, run.paths, run.pairs)))}
    )
    if bare:
        return (
            f"{' and '.join(bare)}: no row in layers, paths or pairs, which are the tables that compare reads; "
            "see the other tables by repflow show"
        )
    what = f"no row of {metric}" if metric else "no row"
    return (
        f"{run_a.directory} ({_contents(run_a)}) and {run_b.directory} ({_contents(run_b)}) have {what} in common; "
        "compare runs of the same subjects, or of one subject each, on the same task and context"
    )


def _contents(run: Run) -> str:
    labels: Sequence[Any] = [subject.get("label") for subject in run.subjects]
    settings = run.layers[["task", "context"]].drop_duplicates().itertuples(index=False)
    tasks = ", ".join(f"{task} at {context}" for task, context in settings)
    return f"{', '.join(map(str, labels)) or 'no subject'}; {tasks or 'no task'}"
