"""The claims as the page, `show` and the files for papers read them: a line a statistic, its models below it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from repflow.drawing.source import RunLike

ALTERNATIVES = (("hf", "HF's list"), ("all_tokens", "all tokens"), ("centred", "centred"))
"""Columns of the same decision with other choices, and what they are called."""
KINDS = {"TBM": "Transformers", "SSM": "state-space models", "hybrid": "hybrids"}


@dataclass(frozen=True)
class Line:
    """A statistic, judged over all models."""

    claim: str
    about: dict[str, Any]
    """The row of all models together."""
    models: tuple[dict[str, Any], ...]
    """Those of the models one by one."""

    @property
    def where(self) -> str:
        """Task, context and detail; empty where nothing was read."""
        task = f"{self.about['task']}, {int(self.about['context']):,} tokens" if self.about["task"] else ""
        return ", ".join(filter(None, (str(self.about["detail"]), task)))

    @property
    def kind(self) -> str:
        """Whom it is about, in words."""
        return " and ".join(KINDS.get(name, name) for name in str(self.about["kind"]).split(" and "))


def heading(line: Line) -> tuple[str, str, str]:
    """What readings of one statistic share: its words, what it must be, and of whom."""
    return str(line.about["statistic"]), str(line.about["rule"]), line.kind


def read_claims(run: "RunLike") -> "pd.DataFrame | None":
    """The table of claims; None where the run has none."""
    table = getattr(run, "table", None)
    frame = table("claims") if table else None
    return None if frame is None or frame.empty else frame


def lines(claims: "pd.DataFrame") -> Iterator[Line]:
    """Every statistic in the order of the table; where it is judged of two kinds apart, a line each."""
    keys = ["claim", "statistic", "detail", "task", "context"]
    for key, rows in claims.groupby(keys, sort=False):
        whole, single = rows[rows["subject"].isna()], rows[rows["subject"].notna()]
        for about in _records(whole):
            mine = _records(single)
            if len(whole) > 1:
                mine = [row for row in mine if row["kind"] == about["kind"]]
            yield Line(str(key[0]), about, tuple(mine))  # pyright: ignore[reportIndexIssue]


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
