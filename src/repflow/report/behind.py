"""The rows behind an answer, with their numbers: answers name rows by their keys, as findings do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from repflow.drawing.source import Source, where
from repflow.studies.kit.study import Answer

_NUMBERS = ("value", "ci_low", "ci_high", "n_examples")


def with_numbers(source: Source, answers: Sequence[Answer]) -> Iterator[Answer]:
    """The same answers, each row key of a run's own tables with its value and interval."""
    for answer in answers:
        yield replace(answer, rows=[_with_numbers(source, row) for row in answer.rows]) if len(answer.rows) else answer


def _with_numbers(source: Source, key: Mapping[str, Any]) -> Mapping[str, Any]:
    """A key that fits no row, or several, and one that has numbers already, stays as it is."""
    frame: pd.DataFrame | None = {"layers": source.layers, "pairs": source.pairs, "paths": source.paths}.get(
        str(key.get("table"))
    )
    if frame is None or "value" in key:
        return key
    found = where(frame, **{name: value for name, value in key.items() if name in frame})
    if len(found) != 1:
        return key
    row = found.iloc[0]
    return {**key, **{name: _plain(row[name]) for name in _NUMBERS if name in row}}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
