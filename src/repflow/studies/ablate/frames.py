"""The table of an ablation run as the report reads it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from repflow.core.quantities import quantity
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.kit.thirds import THIRDS

SCORES = ("next_token_loss", "answer_accuracy")
SCOPES = (*THIRDS, "final_norm", "all")
_COSINES = frozenset({"inter_token_cosine", "adjacent_cosine", "update_cosine", "offset_cosine"})
_TITLES = {"next_token_loss": "loss (nats)", "answer_accuracy": "right answers"}
_FULL = {"next_token_loss": 2.0, "answer_accuracy": 0.5} | dict.fromkeys(_COSINES, 0.5)
_MAIN = (
    ("inter_token_cosine", "raw", SCOPES),
    ("update_ratio", "raw", THIRDS),
    ("norm", "median", ("late",)),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One number of the grid."""

    metric: str
    variant: str
    scope: str

    @property
    def title(self) -> str:
        """What heads the column, above its scope."""
        return _TITLES.get(self.metric) or f"{quantity(self.metric).title}{' (%)' if self.relative else ''}"

    @property
    def told(self) -> str:
        """The column in words."""
        name = self.title.removesuffix(" (%)")
        return name if self.scope == "all" else f"{name}, {self.scope.replace('_', ' ')}"

    @property
    def relative(self) -> bool:
        """Whether a difference is told in percent of what it was, as sizes are; likenesses and scores are not."""
        return self.metric not in _FULL

    @property
    def full(self) -> float:
        """The difference that has the full colour."""
        return _FULL.get(self.metric, 1.0)


def read_ablations(run: Any) -> pd.DataFrame | None:
    """The rows of a run; None where it has none."""
    found = run.table("ablations") if hasattr(run, "table") else pd.DataFrame()
    return None if found.empty else found.reindex(columns=[f.name for f in fields(AblationRow)])


def grids(rows: pd.DataFrame) -> dict[str, list[Column]]:
    """The columns of the main numbers, then those of every other metric and variant, by what to call them."""
    there = dict.fromkeys(Column(*key) for key in rows[["metric", "variant", "scope"]].itertuples(index=False))
    scores = [c for name in SCORES for c in there if c.metric == name]
    flow = _by_scope(c for c in there if c.metric not in SCORES)
    main = [c for metric, variant, scopes in _MAIN for c in flow if (c.metric, c.variant) == (metric, variant)
            and c.scope in scopes]  # fmt: skip
    found = {"main numbers": [*scores, *main]} if main else {}
    kinds = dict.fromkeys((c.metric, c.variant) for c in flow)
    for metric, variant in kinds:
        alone = sum(name == metric for name, _ in kinds) == 1
        title = quantity(metric).title.lower()
        found[title if alone else f"{title}, {variant}"] = [
            *scores,
            *(c for c in flow if (c.metric, c.variant) == (metric, variant)),
        ]
    return found or {"main numbers": scores}


def _by_scope(columns: Iterable[Column]) -> list[Column]:
    found = list(columns)
    kinds = dict.fromkeys((c.metric, c.variant) for c in found)
    order = {kind: place for place, kind in enumerate(kinds)}
    return sorted(found, key=lambda c: (order[c.metric, c.variant], SCOPES.index(c.scope)))


def told_change(what: str, blocks: str) -> str:
    """What was changed and where, in a line."""
    return what if blocks == "all" else f"{what} · {blocks}"


def scenes_of(rows: pd.DataFrame) -> list[tuple[str, int]]:
    """Task and context, in the run's order."""
    found = rows[["task", "context"]].drop_duplicates().itertuples(index=False, name=None)
    return [(str(task), int(context)) for task, context in found]


def policies_of(rows: pd.DataFrame, wanted: Sequence[str]) -> list[str]:
    """The token policies of the flow's numbers; of a run of scores alone `all`."""
    seen = set(rows.loc[~rows["metric"].isin(SCORES), "tokens"])
    return [name for name in wanted if name in seen] or ["all"]
