"""A run in a screenful: what was measured, and the headline numbers of each subject."""

import math
import shlex
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from repflow.drawing.rich import cell, number, plain_table, words
from repflow.store._layout import name_of
from repflow.store._run import Run
from repflow.store._steps import at_last_step, last_steps, told_steps
from repflow.store._units import told_units
from repflow.store._warnings import warning_lines
from repflow.studies.ablate.show import print_ablations
from repflow.studies.attribute.show import ATTRIBUTION, print_shares
from repflow.studies.dynamics.show import print_dynamics
from repflow.studies.probe.show import PROBE_DEPTH, print_probes
from repflow.studies.steps.show import print_training

if TYPE_CHECKING:
    import pandas as pd

_POLICIES = ("no_sink", "all")
_DEPTHS = (("1/3 of depth", 1 / 3), ("middle", 1 / 2), ("last block", 1.0))


def print_summary(run: Run, *, console: Console | None = None) -> None:
    """See `repflow.store.summary`."""
    out = console or Console()
    out.print(words(f"{run.info['command']} run in {name_of(run.directory)}", style="bold"), soft_wrap=True)
    own = [subject for subject in run.subjects if not subject.get("variant_of")]
    out.print(_subjects(own))
    if len(own) < len(run.subjects):
        out.print(words(f"and {len(run.subjects) - len(own)} more, these with something changed", style="dim"))
    tokens = _policy(run)
    last = last_steps(run.layers, run.paths)
    if last:
        print_training(run, tokens, out)
    layers, paths = at_last_step(run.layers, last), at_last_step(run.paths, last)
    tables = [_headline(own, layers, paths, task, context, tokens) for task, context in _tasks(run)]
    shown = [table for table in tables if table is not None]
    if shown and last:
        out.print(words(f"At the end of training, {told_steps(last)}", style="bold"))
    for table in shown:
        out.print(table)
    if shown:
        out.print(words(_legend(tokens), style="dim"))
    print_probes(run, out)
    print_shares(run, own, tokens, out)
    print_ablations(run, own, tokens, out)
    print_dynamics(run, out)
    for line in told_units(run.info):
        out.print(words(line, style="dim"))
    for finding in run.findings:
        if finding.get("id") not in (ATTRIBUTION, PROBE_DEPTH):
            out.print(words(_finding(finding)))
    for warning in warning_lines(run.info):
        out.print(words(f"warning: {warning}", style="yellow"))
    where = (
        f"report: {run.report}"
        if run.report
        else f"no report yet: repflow report {shlex.quote(name_of(run.directory))}"
    )
    out.print(words(where), soft_wrap=True)


def _subjects(subjects: list[dict[str, Any]]) -> Table:
    table = plain_table(None)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("subject", overflow="fold", ratio=1)
    for name in ("kind", "init", "blocks", "width", "params"):
        table.add_column(name, justify="left" if name in ("kind", "init") else "right", overflow="fold")
    for place, subject in enumerate(subjects, start=1):
        names = ("label", "kind", "init", "n_blocks", "width")
        cells = [cell(subject.get(name, "-")) for name in names]
        table.add_row(cell(place), *cells, cell(_count(subject.get("n_parameters"))))
    return table


def _headline(
    subjects: list[dict[str, Any]],
    layers: "pd.DataFrame",
    paths: "pd.DataFrame",
    task: str,
    context: int,
    tokens: str | None,
) -> Table | None:
    """A few lines a subject; None when none of the numbers was measured."""
    table = plain_table(f"{task}, {context} tokens")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("quantity")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95% interval", justify="right", no_wrap=True)
    table.add_column("site", overflow="fold")
    for place, subject in enumerate(subjects, start=1):
        here = {"subject": subject.get("label"), "task": task, "context": context, "tokens": tokens}
        found = [
            (name, row)
            for name, row in _rows_of(_where(layers, variant="raw", **here), _where(paths, variant="rms", **here))
            if row is not None
        ]
        for line, (name, row) in enumerate(found):
            cells = (name, number(row["value"]), _interval(row), row.get("site", ""))
            last = line == len(found) - 1
            table.add_row(cell("" if line else place), *map(cell, cells), end_section=last)
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


def _count(value: Any) -> str:
    if not isinstance(value, int):
        return "-"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return str(value)


def _policy(run: Run) -> str | None:
    measured = [*run.layers["tokens"].unique(), *run.paths["tokens"].unique()]
    return next((name for name in (*_POLICIES, *measured) if name in measured), None)


def _tasks(run: Run) -> list[tuple[str, int]]:
    rows = run.layers if len(run.layers) else run.paths
    return list(rows[["task", "context"]].drop_duplicates().itertuples(index=False, name=None))


def _legend(tokens: str | None) -> str:
    return (
        f"Tokens counted: {tokens}. The adjacent cosine of a block is with the site before it; the final norm is left "
        "out. v_loc, v_glob: local and global variance of the path through depth."
    )


def _finding(finding: dict[str, Any]) -> str:
    parts = [finding.get(name) for name in ("id", "subject", "verdict", "claim")]
    return "finding: " + ", ".join(str(part) for part in parts if part)
