"""A run of models in training in a screenful: the thirds of depth at the first step and the last."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, head, number, plain_table, words
from repflow.store import Run
from repflow.studies.kit.study import Shown
from repflow.studies.kit.thirds import changes, thirds

if TYPE_CHECKING:
    import pandas as pd


def print_training(run: Run, shown: Shown, out: Console) -> None:
    """A table for every task and context, a line for every third of every subject; nothing where none was measured."""
    found = changes(thirds(run.layers, run.replicates))
    if found.empty:
        return
    rows = found[(found["variant"] == "raw") & (found["tokens"] == shown.tokens)]
    for (task, context), here in rows.groupby(["task", "context"], sort=False):
        out.print(_table(run, shown, f"During training: inter-token cosine on {task}, {context} tokens", here))
    if len(rows):
        out.print(words(_LEGEND, style="dim"))


_LEGEND = (
    "Means over the blocks of a third of depth. half by: the first measured step by which more than half of the change "
    "had happened; unclear: the 95% interval of the change holds 0."
)


def _table(run: Run, shown: Shown, title: str, rows: "pd.DataFrame") -> Table:
    table = plain_table(title)
    table.add_column("third", overflow="fold")
    for name in ("steps", "first", "last", "change", "95% interval", "half by"):
        table.add_column(name, justify="right", no_wrap=True)
    for subject in run.subjects:
        mine = rows[rows["subject"] == subject.get("label")].to_dict("records")
        if mine:
            head(table, shown.name(subject.get("label")))
        for line, row in enumerate(mine):
            table.add_row(*map(cell, _cells(row, named=not line)))
        table.add_section()
    return table


def _cells(row: dict[Any, Any], *, named: bool) -> tuple[str, ...]:
    steps = f"{row['first_step']:,}-{row['last_step']:,}" if named else ""
    values = (number(row[name]) for name in ("first", "last", "change"))
    unknown = row["change_low"] != row["change_low"]
    interval = "-" if unknown else f"{number(row['change_low'])} to {number(row['change_high'])}"
    half = "-" if unknown else f"{row['halfway_step']:,}" if row["clear"] else "unclear"
    return row["third"], steps, *values, interval, half
