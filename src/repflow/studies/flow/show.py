"""The headline numbers of a run's flow, for a terminal."""

import math
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, head, number, plain_table, words
from repflow.store import Run, at_last_step, last_steps, told_steps
from repflow.studies.kit.study import Shown

if TYPE_CHECKING:
    import pandas as pd

_DEPTHS = (("1/3 of depth", 1 / 3), ("middle", 1 / 2), ("last block", 1.0))


def print_flow(run: Run, shown: Shown, out: Console) -> None:
    """A table a task and context; of models in training as they are at the end."""
    last = last_steps(run.layers, run.paths)
    layers, paths = at_last_step(run.layers, last), at_last_step(run.paths, last)
    tables = [_headline(shown, layers, paths, task, context) for task, context in _tasks(run)]
    there = [table for table in tables if table is not None]
    if there and last:
        out.print(words(f"At the end of training, {told_steps(last)}", style="bold"))
    for table in there:
        out.print(table)
    if there:
        out.print(words(_legend(shown.tokens), style="dim"))


def _headline(shown: Shown, layers: "pd.DataFrame", paths: "pd.DataFrame", task: str, context: int) -> Table | None:
    """A few lines a subject; None when none of the numbers was measured."""
    table = plain_table(f"{task}, {context} tokens")
    table.add_column("quantity", overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95% interval", justify="right", no_wrap=True)
    table.add_column("site", overflow="fold")
    for subject in shown.subjects:
        here = {"subject": subject.get("label"), "task": task, "context": context, "tokens": shown.tokens}
        found = [
            (name, row)
            for name, row in _rows_of(_where(layers, variant="raw", **here), _where(paths, variant="rms", **here))
            if row is not None
        ]
        if found:
            head(table, shown.name(subject.get("label")))
        for name, row in found:
            cells = (name, number(row["value"]), _interval(row), row.get("site", ""))
            table.add_row(*map(cell, cells))
        table.add_section()
    return table if table.row_count else None


def _rows_of(layers: "pd.DataFrame", paths: "pd.DataFrame") -> "list[tuple[str, pd.Series | None]]":
    cosines = _blocks(_where(layers, metric="inter_token_cosine"))
    adjacent = _blocks(_where(layers, metric="adjacent_cosine"))
    return [
        *((f"inter-token cosine, {name}", _nearest(cosines, depth, "depth")) for name, depth in _DEPTHS),
        ("adjacent cosine, least", _nearest(adjacent, adjacent["value"].min(), "value")),
        *((f"{metric} (rms)", _nearest(_where(paths, metric=metric))) for metric in ("v_loc", "v_glob")),
    ]


def _where(frame: "pd.DataFrame", **wanted: Any) -> "pd.DataFrame":
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame


def _blocks(layers: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of blocks; of Hugging Face's list those between the embedding and the final norm."""
    listed = layers["site"].str.startswith("hf.") & layers["depth"].gt(0) & layers["depth"].lt(1)
    return layers[(layers["site"].str.startswith("block.") | listed) & layers["value"].notna()]


def _nearest(rows: "pd.DataFrame", target: float = 0.0, column: str = "value") -> "pd.Series | None":
    """The row whose `column` is nearest `target`."""
    return None if rows.empty else rows.iloc[int((rows[column] - target).abs().fillna(math.inf).argmin())]


def _interval(row: "pd.Series") -> str:
    low, high = row["ci_low"], row["ci_high"]
    return "-" if math.isnan(low) or math.isnan(high) else f"{number(low)} to {number(high)}"


def _tasks(run: Run) -> list[tuple[str, int]]:
    rows = run.layers if len(run.layers) else run.paths
    return list(rows[["task", "context"]].drop_duplicates().itertuples(index=False, name=None))


def _legend(tokens: str | None) -> str:
    return (
        f"Tokens counted: {tokens}. The adjacent cosine of a block is with the site before it; the final norm is left "
        "out. v_loc, v_glob: local and global variance of the path through depth."
    )
