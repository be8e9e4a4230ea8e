"""A lab in a screenful: what the groups answer and how alike their tokens are."""

from typing import Any

from rich.console import Console

from repflow.drawing.rich import cell, plain_table, words
from repflow.store import Run
from repflow.studies.lab.findings import group_name

_SHARES = {"kvpr 256": "kvpr 256", "kvpr 512": "kvpr 512"}
_COSINES = {"early, raw": "early cosine", "late, raw": "late cosine"}


def print_lab(run: Run, out: Console) -> None:
    """A line a group; nothing for a run that no lab wrote."""
    groups = run.table("groups")
    if groups.empty:
        return
    question = run.info.get("question")
    if question:
        out.print(words(str(question), style="bold"))
    table = plain_table(None)
    table.add_column("group", overflow="fold")
    for title in ("n", *_SHARES.values(), "text", *_COSINES.values()):
        table.add_column(title, justify="right")
    for (architecture, loss), rows in groups.groupby(["architecture", "loss"], sort=False):
        by = {str(row["outcome"]): row for row in rows.to_dict("records")}
        shares = (_told(by.get(name), 100, 0) for name in _SHARES)
        cosines = (_told(by.get(name), 1, 2) for name in _COSINES)
        text = f"{by['text 256']['mean']:.2f}" if "text 256" in by else "-"
        name = group_name(str(architecture), str(loss))
        table.add_row(*map(cell, (name, rows["trainings"].max(), *shares, text, *cosines)))
    out.print(table)
    out.print(words(_LEGEND, style="dim"))


def _told(row: dict[Any, Any] | None, scale: float, decimals: int) -> str:
    """`94 [91, 97]`."""
    if row is None:
        return "-"
    value, low, high = (f"{scale * row[name]:.{decimals}f}" for name in ("mean", "ci_low", "ci_high"))
    return value if row["ci_low"] != row["ci_low"] else f"{value} [{low}, {high}]"


_LEGEND = (
    "n: models. kvpr: percent of answers right at the trained context and at twice that. text: nats a token. "
    "Cosines: inter-token, raw, means over a third of depth. 95% intervals over trainings."
)
