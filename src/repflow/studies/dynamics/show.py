"""The dynamics of a run in a screenful: memory of state-space blocks, reach of influence, use of the path bounds."""

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, head, number, plain_table, words
from repflow.store import Run
from repflow.studies.kit.study import Shown

if TYPE_CHECKING:
    import pandas as pd


def print_dynamics(run: Run, shown: Shown, out: Console) -> None:
    """One table a task and context, a few lines a subject; nothing for a run without dynamics."""
    bounds = run.table("bounds")
    if bounds.empty:
        return
    for (task, context), rows in bounds.groupby(["task", "context"], sort=False):
        out.print(_table(run, shown, f"{task}, {context} tokens", rows))
    out.print(words(_LEGEND, style="dim"))


_LEGEND = (
    "Half-life: tokens until half of a state is left, the median over tokens, channels and states of a block. rho: the "
    "largest transition. Recency slope: of log influence against log distance. Envelope, Poincare: how much of "
    "what a bounded step, and the local variance, allow a token's path uses, 1 at most."
)


def _table(run: Run, shown: Shown, title: str, bounds: "pd.DataFrame") -> Table:
    table = plain_table(title)
    table.add_column("quantity", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95% interval", justify="right", no_wrap=True)
    table.add_column("site", overflow="fold")
    for subject in run.subjects:
        lines = _lines(run, bounds[bounds["subject"] == subject.get("label")])
        if lines:
            head(table, shown.name(subject.get("label")))
        for cells in lines:
            table.add_row(*map(cell, cells))
        table.add_section()
    return table


def _lines(run: Run, bounds: "pd.DataFrame") -> list[tuple[str, ...]]:
    """Quantity, value, interval and site of one subject on one task."""
    if bounds.empty:
        return []
    transitions, recency = (_same(run.table(name), bounds) for name in ("transitions", "recency"))
    lines: list[tuple[str, ...]] = []
    if len(transitions):
        lives = transitions[(transitions["quantity"] == "half_life") & (transitions["statistic"] == "q50")]
        for name, place in (("shortest", lives["value"].argmin()), ("longest", lives["value"].argmax())):
            lines.append(_line(f"half-life, {name}", lives.iloc[int(place)], "value", "ci_low", "ci_high"))
        rho = bounds[bounds["name"] == "rho"]
        rho = rho.assign(left=1 - rho["measured"])
        least = rho.iloc[int(rho["left"].argmin())]
        lines.append(_line(f"1 - rho, least{' (bounds vacuous)' if least['vacuous'] else ''}", least, "left"))
    if len(recency):
        lines.append(_line("recency slope", recency.iloc[0], "slope", "ci_low", "ci_high"))
    for name in ("envelope", "poincare"):
        paths = bounds[bounds["name"] == name]
        row = paths.iloc[int(paths["tokens"].eq("no_sink").argmax())]
        lines.append(_line(f"{name} used", row, "use", "use_low", "use_high"))
    return lines


def _line(quantity: str, row: "pd.Series", value: str, low: str = "", high: str = "") -> tuple[str, ...]:
    """An interval where the row has one."""
    known = bool(low) and not (math.isnan(row[low]) or math.isnan(row[high]))
    limits = f"{number(row[low])} to {number(row[high])}" if known else "-"
    return quantity, number(row[value]), limits, str(row.get("site", ""))


def _same(table: "pd.DataFrame", bounds: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of the same subject, task and context."""
    for name in ("subject", "task", "context") if len(table) else ():
        table = table[table[name] == bounds[name].iloc[0]]
    return table
