"""The probes of a run in a screenful: peak, last block and drop of each subject."""

import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, head, plain_table, words
from repflow.store import Run
from repflow.studies.kit.study import Shown
from repflow.studies.probe.shown import judged
from repflow.studies.probe.verdicts import ABOVE, TOLD, no_peak

if TYPE_CHECKING:
    import pandas as pd


PROBE_DEPTH = "probe_depth"
"""The id of the findings that this table holds."""


def print_probes(run: Run, shown: Shown, out: Console) -> None:
    """One table a task, context and target, one line a subject and place; nothing for a run without probes."""
    summary = run.table("probe_summary")
    if summary.empty:
        return
    for (task, context, target), rows in judged(summary).groupby(["task", "context", "target"], sort=False):
        title = f"{task}, {context} tokens, chance {_percent(rows['chance'].iloc[0])}: {TOLD[str(target)]}"
        out.print(_table(title, rows, run.table("probes"), shown))
        for _, row in rows.iterrows():
            if why := no_peak({str(name): value for name, value in row.items()}):
                out.print(words(f"{shown.name(row['subject'])}, {row['position']}, {target}: {why}"))
    out.print(words(_LEGEND, style="dim"))


_LEGEND = (
    "Percent of prompts whose gold position, or gold value among those of the prompt, a linear readout names from the "
    "state at one place; the interval of the peak is corrected for choosing it. last: after the last block; drop: from "
    "the peak to there; ctrl: control at the peak, labels permuted or values drawn; cap.: capacity at the peak, labels "
    "that only the gold's identity tells; len.: from the number of tokens alone; said: answered rightly by the model."
)


def _table(title: str, rows: "pd.DataFrame", probes: "pd.DataFrame", shown: Shown) -> Table:
    table = plain_table(title)
    table.add_column("place", overflow="fold")
    table.add_column("peak at", overflow="fold")
    for heading in ("peak", "interval", "last", "drop", "ctrl", "cap.", "len.", "said"):
        table.add_column(heading, justify="right", no_wrap=True)
    for subject, mine in rows.groupby("subject", sort=False):
        head(table, shown.name(subject))
        for _, row in mine.iterrows():
            table.add_row(*map(cell, _cells(row, probes)))
        table.add_section()
    return table


def _cells(row: "pd.Series", probes: "pd.DataFrame") -> tuple[str, ...]:
    limits = row["peak_low"], row["peak_high"]
    interval = "-" if any(map(math.isnan, limits)) else "-".join(map(_percent, limits))
    found = dict(row) | {"control": _control(row, probes)}
    names = ("last", "gap", "control", "capacity", "length", "answered")
    peak = row["peak_site"] if row["verdict"] == ABOVE else "none"
    return row["position"], peak, _percent(row["peak"]), interval, *(_percent(found[name]) for name in names)


def _control(row: "pd.Series", probes: "pd.DataFrame") -> float:
    """Accuracy on the control task at the peak; NaN without one."""
    here = probes["site"] == row["peak_site"]
    for name in ("subject", "task", "context", "position", "target"):
        here &= probes[name] == row[name]
    found = probes.loc[here, "control"]
    return float(found.iloc[0]) if len(found) else math.nan


def _percent(value: Any) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
