"""The tables of an attribution run as the report reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from repflow.studies.attribute.rows import SchemeRow, ShareRow

OWN = "config"
"""The scheme that decides."""
_CELL = ["task", "context", "variant", "tokens"]
Cell = tuple[str, int, str, str]
"""Task, context, variant and policy."""


@dataclass(frozen=True)
class Attribution:
    """Shares by third of depth, and each scheme's values by site."""

    shares: pd.DataFrame
    schemes: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """The schemes, in the run's order."""
        return [str(name) for name in self.shares["scheme"].unique()]

    @property
    def cells(self) -> list[Cell]:
        found = self.shares[_CELL].drop_duplicates().itertuples(index=False, name=None)
        return [(str(task), int(context), str(variant), str(tokens)) for task, context, variant, tokens in found]

    def told(self, cell: Cell) -> str:
        """The variant, and before it whatever else tells this cell from others of the same policy."""
        task, context, variant, _ = cell
        several = len({other[:2] for other in self.cells}) > 1
        return f"{task}, {context:,} tokens, {variant}" if several else variant


def read_attribution(run: Any) -> Attribution | None:
    """The tables of a run; None where it has none."""
    if not hasattr(run, "table"):
        return None
    found = ((run.table(name), kind) for name, kind in (("shares", ShareRow), ("schemes", SchemeRow)))
    shares, schemes = (frame.reindex(columns=[f.name for f in fields(kind)]) for frame, kind in found)
    return None if shares.empty else Attribution(shares, schemes)


def of_cell(frame: pd.DataFrame, cell: Cell, **wanted: object) -> pd.DataFrame:
    """The rows of one task, context, variant and policy, and of the other columns' values."""
    for column, value in (*zip(_CELL, cell, strict=True), *wanted.items()):
        frame = frame[frame[column] == value]
    return frame


def verdicts(findings: Sequence[Any], cell: Cell, subject: str) -> Iterator[tuple[str, str, str]]:
    """Third, verdict over all schemes and reason, early to late, from the run's findings."""
    for finding in findings:
        held = tuple(finding.get(name) for name in _CELL)
        if finding.get("id") == "attribution" and held == cell and finding.get("subject") == subject:
            yield str(finding["third"]), str(finding["verdict"]), str(finding.get("reason") or "")
