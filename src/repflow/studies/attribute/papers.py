"""The table of an attribution run as files: every column as CSV, difference, share and verdict as LaTeX."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from repflow.drawing.latex import latex
from repflow.drawing.source import POLICIES, Source
from repflow.store import csv_text
from repflow.studies.attribute.frames import OWN, Attribution, verdicts
from repflow.studies.attribute.table import pools

_TITLES = ("Task", "Context", "Variant", "Subject", "Third", "Trained", "Random less trained", "Share", "Verdict")


def attribution_files(source: Source) -> dict[str, str]:
    """The table by file name, beside the figures for papers."""
    found: Attribution | None = source.parts.get("attribute")
    if found is None:
        return {}
    return {"attribution_table.csv": csv_text(found.shares), "attribution_table.tex": latex_table(source, found)}


def latex_table(source: Source, found: Attribution) -> str:
    """The table for a paper, with booktabs: the scheme that decides, under the first token policy of the run."""
    seen = set(found.shares["tokens"])
    tokens = next((policy for policy in POLICIES if policy in seen), "")
    rows = found.shares[(found.shares["tokens"] == tokens) & (found.shares["scheme"] == OWN)]
    lines = [" & ".join(cells) + r" \\" for cells in _lines(source, rows, tokens)]
    head = [
        f"% Inter-token cosine by third of depth, tokens {latex(tokens)}: trained weights, draws of the family's own",
        "% initialisation less trained, and the one over the other, with 95% intervals; verdicts corrected (Holm).",
        rf"\begin{{tabular}}{{{'l' * 5}rrrl}}",
        r"\toprule",
        " & ".join(_TITLES) + r" \\",
        r"\midrule",
    ]
    return "\n".join([*head, *lines, r"\bottomrule", r"\end{tabular}", ""])


def _lines(source: Source, rows: pd.DataFrame, tokens: str) -> Iterator[list[str]]:
    shorts = {subject.label: subject.short for subject in (*pools(source, rows), *source.subjects)}
    for row in rows.to_dict("records"):
        cell = (str(row["task"]), int(row["context"]), str(row["variant"]), tokens)
        said = {third: verdict for third, verdict, _ in verdicts(source.findings, cell, str(row["subject"]))}
        about = (cell[0], f"{cell[1]:,}", cell[2], shorts[str(row["subject"])], row["third"])
        numbers = (_number(row, "trained", 3), _number(row, "difference", 3), _number(row, "share", 2))
        yield [*map(latex, about), *numbers, latex(said.get(str(row["third"]), ""))]


def _number(row: dict[Any, Any], name: str, decimals: int) -> str:
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    if not math.isfinite(value):
        return "--"
    ends = "" if math.isnan(low) or math.isnan(high) else f" [{_end(low, decimals)}, {_end(high, decimals)}]"
    return f"${value:.{decimals}f}{ends}$"


def _end(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else r"\infty"
