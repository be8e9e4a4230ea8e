"""Trained weights against random ones in a screenful: the share of each third of depth, and its verdict."""

import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repflow.store._rich import cell, number, plain_table, words
from repflow.store._run import Run

if TYPE_CHECKING:
    import pandas as pd

ATTRIBUTION = "attribution"
"""The id of the findings that this table holds."""
_OWN = "config"


def print_shares(run: Run, own: list[dict[str, Any]], tokens: str | None, out: Console) -> None:
    """One table a task, context and variant, one line a third of each subject; nothing for a run without shares."""
    shares = run.table("shares")
    if shares.empty:
        return
    shown = shares[shares["tokens"] == tokens]
    told = {_key(f): str(f["verdict"]) for f in run.findings if f.get("id") == ATTRIBUTION}
    numbers = {str(subject.get("label")): place for place, subject in enumerate(own, start=1)}
    for (task, context, variant), rows in shown.groupby(["task", "context", "variant"], sort=False):
        title = f"{task}, {context} tokens: random beside trained weights, {variant}"
        out.print(_table(title, rows, told, numbers))
    out.print(words(_LEGEND.format(tokens=tokens), style="dim"))


_LEGEND = (
    "Tokens counted: {tokens}. share: the value with random weights over that with trained ones, under the family's "
    "own initialisation (config); all: lowest and highest share of the drawn schemes; permuted: with shuffled weights."
)
_KEYS = ("subject", "task", "context", "variant", "tokens", "third")


def _key(held: Any) -> tuple[Any, ...]:
    return tuple(held[name] for name in _KEYS)


def _table(title: str, rows: "pd.DataFrame", told: dict[tuple[Any, ...], str], numbers: dict[str, int]) -> Table:
    table = plain_table(title)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("third", no_wrap=True)
    for heading in ("trained", "share", "95% interval", "all", "permuted"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for (subject, third), mine in rows.groupby(["subject", "third"], sort=False):
        shares = {str(row["scheme"]): row for row in mine.to_dict("records")}
        first = third == rows[rows["subject"] == subject]["third"].iloc[0]
        verdict = told.get(_key(mine.iloc[0]), "")
        cells = (
            numbers[str(subject)] if first else "",
            third,
            number(mine["trained"].iloc[0]),
            *_shares(shares),
            verdict,
        )
        table.add_row(*map(cell, cells), end_section=third == rows[rows["subject"] == subject]["third"].iloc[-1])
    return table


def _shares(rows: dict[str, dict[Any, Any]]) -> tuple[str, str, str, str]:
    """The share under config with its interval, the range of the drawn schemes, and the share under permuted."""
    own, control = rows.get(_OWN), rows.get("permuted")
    drawn = [row["share"] for scheme, row in rows.items() if scheme != "permuted" and not math.isnan(row["share"])]
    limits = own is not None and not math.isnan(own["share_low"])
    return (
        "-" if own is None else _two(own["share"]),
        f"{_two(own['share_low'])} to {_two(own['share_high'])}" if own is not None and limits else "-",
        f"{_two(min(drawn))} to {_two(max(drawn))}" if drawn else "-",
        "-" if control is None else _two(control["share"]),
    )


def _two(value: float) -> str:
    """Two decimals; one from 10 on, where the line has no room for more."""
    return "-" if math.isnan(value) else f"{value:.{1 if abs(value) >= 10 else 2}f}"
