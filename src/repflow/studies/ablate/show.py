"""An ablation run in a screenful: what each change does to the loss or the answers, and to the likeness of tokens."""

import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, head, number, plain_table, words
from repflow.store import Run
from repflow.studies.kit.study import Shown

if TYPE_CHECKING:
    import pandas as pd

MOST = 12
"""Changes of one subject that are printed."""
_COLUMNS = (
    ("loss", {"metric": "next_token_loss"}),
    ("answers", {"metric": "answer_accuracy"}),
    ("cosine", {"metric": "inter_token_cosine", "variant": "raw", "scope": "late"}),
)


def print_ablations(run: Run, shown: Shown, out: Console) -> None:
    """One table a task and context, a line a change, the largest differences first; nothing for a run without any."""
    rows = run.table("ablations")
    if rows.empty:
        return
    for (task, context), here in rows.groupby(["task", "context"], sort=False):
        columns = [(name, held) for name, wanted in _COLUMNS if len(held := _held(here, shown.tokens, wanted))]
        if columns:
            title = f"{task}, {context} tokens: before, and the difference a change makes"
            out.print(_table(title, shown, columns))
    out.print(words(_LEGEND.format(tokens=shown.tokens), style="dim"))


_LEGEND = (
    "loss: nats a token; answers: share that is right; cosine: inter-token cosine in the late third of depth, tokens "
    "counted: {tokens}. Behind each its 95% interval, paired by example. All numbers are in ablations.parquet."
)


def _held(rows: "pd.DataFrame", tokens: str | None, wanted: dict[str, str]) -> "pd.DataFrame":
    """The rows of one column, by the changed subject."""
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    if wanted.get("scope"):
        rows = rows[rows["tokens"] == tokens]
    return rows.set_index("changed")


def _table(title: str, shown: Shown, columns: "list[tuple[str, pd.DataFrame]]") -> Table:
    table = plain_table(title)
    table.add_column("change", overflow="fold")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("95% interval", justify="right", no_wrap=True)
    for subject in shown.subjects:
        mine = [held[held["subject"] == subject.get("label")] for _, held in columns]
        if len(mine[0]):
            head(table, shown.name(subject.get("label")))
            _lines(table, mine)
    return table


def _lines(table: Table, columns: "list[pd.DataFrame]") -> None:
    """The subject as it is, and its changes."""
    table.add_row(cell("as it is"), *map(cell, _base(columns)))
    first = columns[0]
    order = list(first["difference"].abs().sort_values(ascending=False, kind="stable").index)
    for changed in order[:MOST]:
        told = [text for held in columns for text in _told(held, changed)]
        table.add_row(cell(_change(first.loc[changed])), *map(cell, told))
    if len(order) > MOST:
        table.add_row(cell(f"and {len(order) - MOST} smaller"))
    table.add_section()


def _base(columns: "list[pd.DataFrame]") -> list[str]:
    return [text for held in columns for text in (number(held["base"].iloc[0]) if len(held) else "-", "")]


def _told(held: "pd.DataFrame", changed: str) -> tuple[str, str]:
    """The difference and its interval."""
    if changed not in held.index:
        return "-", ""
    row: Any = held.loc[changed]
    known = not math.isnan(row["difference_low"])
    limits = f"{_three(row['difference_low'])} to {_three(row['difference_high'])}" if known else ""
    return _three(row["difference"], "+"), limits


def _three(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}" if abs(value) < 1000 else f"{value:{sign}.1e}"


def _change(row: Any) -> str:
    return row["what"] if row["blocks"] == "all" else f"{row['what']}, {row['blocks']}"
