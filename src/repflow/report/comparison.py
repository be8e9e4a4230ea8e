"""A comparison in a screenful: what differs clearly, and for every quantity how far two runs are apart, where most."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, number, plain_table, words
from repflow.report.differences import FOLDED, GROUP, clear, differences, fine_print, headline
from repflow.store import told_steps, unmatched_line

if TYPE_CHECKING:
    import pandas as pd

MOST = 6
"""Differences that are told in sentences."""


def print_comparison(frame: "pd.DataFrame", *, console: Console | None = None) -> None:
    """Print what `compare` returned: the headline, then one line a quantity, for 80 columns or more, or a file."""
    out = console or Console()
    found = differences(frame)
    out.print(words(headline(frame, found), style="bold"))
    for each in found[:MOST]:
        out.print(words(f"  {each.said}"))
    if len(found) > MOST:
        out.print(words(f"  and {len(found) - MOST} more below"))
    out.print(words(fine_print(frame), style="dim"))
    for (a, b, task, context), rows in frame.groupby(GROUP, sort=False):
        who = a if a == b else f"{a} (a) against {b} (b)"
        out.print(words(f"{who}: {task}, {context} tokens", style="bold"), soft_wrap=True)
        out.print(_quantities(rows))
    for line in notes(frame):
        out.print(words(line, style="yellow"))
    out.print(words(legend(frame), style="dim"))


def notes(frame: "pd.DataFrame") -> list[str]:
    """What a reader has to know of the rows: steps of training, why not paired, what has no partner."""
    found = [
        f"{run} was measured in training; its last step is compared, {told_steps(last)}"
        for run, last in frame.attrs.get("steps", {}).items()
        if last
    ]
    found += [f"not paired: {reason}" for reason in frame.attrs.get("unpaired_because", [])]
    left_out = unmatched_line(frame.attrs.get("unmatched", {}))
    return [*found, left_out] if left_out else found


def _quantities(rows: "pd.DataFrame") -> Table:
    table = plain_table(None)
    table.add_column("metric, variant, tokens", overflow="fold", ratio=1)
    for name in ("rows", "clear", "mean b - a", "largest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("at", overflow="fold")
    for line in lines_of(rows):
        table.add_row(*map(cell, line))
    return table


def lines_of(rows: "pd.DataFrame") -> Iterator[tuple[Any, ...]]:
    """A line a quantity: name, rows, how many clearly differ, mean and largest difference, where.

    The distances of the offset profile are one line, and token policies under which all numbers are the same.
    """
    folded = rows.assign(variant=rows["variant"].mask(rows["metric"] == FOLDED, _distances(rows)))
    told: dict[tuple[Any, ...], list[str]] = {}
    for key, group in folded.groupby(["metric", "variant", "tokens"], sort=False):
        metric, variant, tokens = map(str, key)
        known = group[group["difference"].notna()]
        if len(known):
            told.setdefault((metric, variant, *_line(known)), []).append(tokens)
    for (metric, variant, *numbers), policies in told.items():
        yield f"{metric} {variant} {'/'.join(policies)}", *numbers


def _line(known: "pd.DataFrame") -> tuple[Any, ...]:
    largest = known.iloc[int(known["difference"].abs().argmax())]
    mean, most = number(known["difference"].mean()), number(largest["difference"])
    return len(known), int(clear(known).sum()), mean, most, largest["site"]


def _distances(rows: "pd.DataFrame") -> str:
    """`k=1..64`."""
    found = rows.loc[rows["metric"] == FOLDED, "variant"].str.removeprefix("k=")
    numbers = sorted(int(k) for k in found.unique() if k.isdigit())
    return f"k={numbers[0]}..{numbers[-1]}" if numbers else "all distances"


def legend(frame: "pd.DataFrame") -> str:
    """What `clear` means."""
    paired = "the paired difference leaves out 0"
    separate = "the two values, as if independent, differ"
    rule = paired if frame["paired"].all() else separate
    if frame["paired"].any() and not frame["paired"].all():
        rule = f"{paired}, or, where not paired, {separate}"
    return f"clear: rows where {rule}, corrected for looking at all {len(frame):,} rows (Holm, 5%)."
