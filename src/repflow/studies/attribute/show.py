"""Trained weights against random ones in a screenful: difference and share of each third of depth, and its verdict."""

import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, head, number, plain_table, words
from repflow.store import Run
from repflow.studies.kit.study import Shown

if TYPE_CHECKING:
    import pandas as pd

ATTRIBUTION = "attribution"
"""The id of the findings that this table holds."""
_OWN = "config"


def print_shares(run: Run, shown: Shown, out: Console) -> None:
    """One table a task, context and variant, one line a third of each subject; nothing for a run without shares."""
    shares = run.table("shares")
    if shares.empty:
        return
    here = shares[shares["tokens"] == shown.tokens]
    told = {_key(f): str(f["verdict"]) for f in run.findings if f.get("id") == ATTRIBUTION}
    power = run.info.get("power")
    for (task, context, variant), rows in here.groupby(["task", "context", "variant"], sort=False):
        title = f"{task}, {context} tokens: random less trained weights, {variant}"
        out.print(_table(title, rows, told, shown))
        if isinstance(power, dict) and variant in power:
            out.print(words(str(power[variant]), style="dim"))
    out.print(words(_LEGEND.format(tokens=shown.tokens), style="dim"))


_LEGEND = (
    "Tokens counted: {tokens}. diff.: the value with random weights less that with trained ones, share: the one "
    "over the other, both under the family's own initialisation (config), which decides. Verdicts are corrected for "
    "being several; reduced: training reduced it. Other ways of drawing are in the table shares."
)
_KEYS = ("subject", "task", "context", "variant", "tokens", "third")
_SHORT = {"reduced by training": "reduced"}


def _key(held: Any) -> tuple[Any, ...]:
    return tuple(held[name] for name in _KEYS)


def _table(title: str, rows: "pd.DataFrame", told: dict[tuple[Any, ...], str], shown: Shown) -> Table:
    table = plain_table(title)
    table.add_column("third", overflow="fold")
    for heading in ("trained", "diff.", "95% interval", "share", "95% interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for subject, mine in rows.groupby("subject", sort=False):
        head(table, shown.names.get(str(subject), "all"))
        for third, lines in mine.groupby("third", sort=False):
            verdict = told.get(_key(lines.iloc[0]), "")
            cells = (third, number(lines["trained"].iloc[0]), *_numbers(lines), _SHORT.get(verdict, verdict))
            table.add_row(*map(cell, cells))
        table.add_section()
    return table


def _numbers(rows: "pd.DataFrame") -> tuple[str, ...]:
    """Difference and share under config, each with its interval."""
    own = rows[rows["scheme"] == _OWN]
    if own.empty:
        return ("-",) * 4
    row = own.iloc[0]
    return (
        f"{row['difference']:+.3f}" if math.isfinite(row["difference"]) else "-",
        _span(row["difference_low"], row["difference_high"], 3),
        _two(row["share"]),
        _span(row["share_low"], row["share_high"], 2),
    )


def _span(low: float, high: float, decimals: int) -> str:
    if math.isnan(low) or math.isnan(high):
        return "-"
    return " to ".join(f"{end:.{decimals}f}" if math.isfinite(end) else "∞" for end in (low, high))


def _two(value: float) -> str:
    """Two decimals; one from 10 on, where the line has no room for more."""
    return "-" if math.isnan(value) else f"{value:.{1 if abs(value) >= 10 else 2}f}"
