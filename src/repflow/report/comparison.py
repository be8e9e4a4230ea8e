"""A comparison in a screenful: for every quantity how far two runs are apart, and where most."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, number, plain_table, words
from repflow.store import told_steps, unmatched_line

if TYPE_CHECKING:
    import pandas as pd


def print_comparison(frame: "pd.DataFrame", *, console: Console | None = None) -> None:
    """Print what `compare` returned, one line a quantity, for a terminal of 80 columns or more, or a file."""
    out = console or Console()
    keys = ["subject_a", "subject_b", "task", "context"]
    for (a, b, task, context), rows in frame.groupby(keys, sort=False):
        who = a if a == b else f"{a} (a) against {b} (b)"
        out.print(words(f"{who}: {task}, {context} tokens", style="bold"), soft_wrap=True)
        out.print(_quantities(rows))
    for run, last in frame.attrs.get("steps", {}).items():
        if last:
            out.print(words(f"{run} was measured in training; its last step is compared, {told_steps(last)}"))
    out.print(words(_legend(frame), style="dim"))
    for reason in frame.attrs.get("unpaired_because", []):
        out.print(words(f"not paired: {reason}", style="yellow"))
    left_out = unmatched_line(frame.attrs.get("unmatched", {}))
    if left_out:
        out.print(words(left_out, style="yellow"))


def _quantities(rows: "pd.DataFrame") -> Table:
    table = plain_table(None)
    table.add_column("metric, variant, tokens", overflow="fold", ratio=1)
    for name in ("rows", "apart", "mean b - a", "largest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("at", overflow="fold")
    for key, group in rows.groupby(["metric", "variant", "tokens"], sort=False):
        known = group[group["difference"].notna()]
        if known.empty:
            continue
        largest = known.iloc[int(known["difference"].abs().argmax())]
        values = (
            len(known),
            int(apart(known).sum()),
            number(known["difference"].mean()),
            number(largest["difference"]),
        )
        table.add_row(*map(cell, (" ".join(map(str, key)), *values, largest["site"])))
    return table


def apart(frame: "pd.DataFrame") -> "pd.Series":
    """Whether each row's two values differ beyond chance: the paired interval leaves out 0, or, for a row that is not
    paired, the two intervals do not meet."""
    leaves_out_zero = (frame["difference_low"] > 0) | (frame["difference_high"] < 0)
    return leaves_out_zero.where(frame["paired"], ~frame["overlap"].fillna(True).astype(bool))


def _legend(frame: "pd.DataFrame") -> str:
    paired = "the 95% interval of the paired difference leaves out 0"
    separate = "the two 95% intervals do not meet"
    rule = paired if frame["paired"].all() else separate
    if frame["paired"].any() and not frame["paired"].all():
        rule = f"{paired}, or, where not paired, {separate}"
    return f"apart: rows where {rule}; no correction for looking at many rows."
