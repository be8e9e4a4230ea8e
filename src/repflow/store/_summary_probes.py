"""The probes of a run in a screenful: peak, last block and drop of each subject."""

import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from repflow.store._rich import cell, plain_table
from repflow.store._run import Run

if TYPE_CHECKING:
    import pandas as pd


def print_probes(run: Run, out: Console) -> None:
    """One table a task and context, one line a subject and place; nothing for a run without probes."""
    summary = run.table("probe_summary")
    if summary.empty:
        return
    numbers = {str(facts.get("label")): place for place, facts in enumerate(run.subjects, start=1)}
    for (task, context), rows in summary.groupby(["task", "context"], sort=False):
        chance = _percent(rows["chance"].iloc[0])
        out.print(_table(f"{task}, {context} tokens, chance {chance}", rows, run.probes, numbers))
    out.print(Text(_LEGEND, style="dim"))


_LEGEND = (
    "Percent of prompts whose gold position a linear probe names from the state at one place. last: after the last "
    "block; drop: from the peak to there; control: at the peak, labels permuted; length: from the number of tokens "
    "alone; said: answered rightly by the model."
)


def _table(title: str, rows: "pd.DataFrame", probes: "pd.DataFrame", numbers: dict[str, int]) -> Table:
    table = plain_table(title)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("place", no_wrap=True)
    table.add_column("peak at", overflow="fold")
    for heading in ("peak", "95% interval", "last", "drop", "control", "length", "said"):
        table.add_column(heading, justify="right", no_wrap=True)
    for _, row in rows.iterrows():
        limits = row["peak_low"], row["peak_high"]
        interval = "-" if any(map(math.isnan, limits)) else "-".join(map(_percent, limits))
        numbers_of = (row["peak"], row["last"], row["gap"], _control(row, probes), row["length"], row["answered"])
        peak, *others = map(_percent, numbers_of)
        cells = (numbers.get(row["subject"], ""), row["position"], row["peak_site"], peak, interval, *others)
        table.add_row(*map(cell, cells))
    return table


def _control(row: "pd.Series", probes: "pd.DataFrame") -> float:
    """Accuracy on the control task at the peak."""
    here = probes["site"] == row["peak_site"]
    for name in ("subject", "task", "context", "position"):
        here &= probes[name] == row[name]
    return float(probes.loc[here, "control"].iloc[0])


def _percent(value: Any) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
