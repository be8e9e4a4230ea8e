"""Tables of the report as plain text cells; escaping is the template's work."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from repflow.core.quantities import quantity
from repflow.drawing.labels import count, estimate, is_number, number
from repflow.drawing.source import Scene, Source, Subject, distinct_tasks, of_scene, values
from repflow.store import csv_text, steps_of, told_units
from repflow.studies.flow.paths import column_title, path_columns, path_rows


@dataclass(frozen=True, slots=True)
class PathTable:
    """Headings with their meaning, and a line a subject of (value, interval)."""

    headings: tuple[tuple[str, str], ...]
    lines: tuple[tuple[Subject, tuple[tuple[str, str], ...]], ...]


def path_table(source: Source, scene: Scene, variant: str, tokens: str) -> PathTable:
    """Subjects by path metrics; an en dash where a subject lacks one."""
    rows = path_rows(source, scene, tokens)
    columns = path_columns(rows, variant)
    found = values(rows, "subject", "metric", "variant", "value", "ci_low", "ci_high")
    known = {(s, m, v): (value, low, high) for s, m, v, value, low, high in found}
    lines = tuple(
        (s, tuple(estimate(*known.get((s.label, m, v), (None, None, None))) for m, v in columns))
        for s in source.subjects
        if (rows["subject"] == s.label).any()
    )
    return PathTable(tuple((column_title(m, v), quantity(m).meaning) for m, v in columns), lines)


def csv_uri(frame: pd.DataFrame) -> str:
    """A frame as a `data:` link, so that the file carries its own numbers; without steps where there are none."""
    return frame_uri(frame if np.isfinite(steps_of(frame)).any() else frame.drop(columns="step"))


def frame_uri(frame: pd.DataFrame) -> str:
    """A frame as a `data:` link, every column."""
    return "data:text/csv;base64," + base64.b64encode(csv_text(frame).encode()).decode()


def subject_facts(subject: Subject) -> dict[str, str]:
    """What the subjects table says of one subject."""
    facts = subject.facts
    init = str(facts.get("init", "–"))
    changed = [str(x) for x in facts.get("interventions") or ()]
    return {
        "kind": subject.kind + (", mixture of experts" if facts.get("experts") else ""),
        "family": str(facts.get("family", "–")),
        "weights": init if init in ("trained", "–") else f"untrained ({init})",
        "changed": ", ".join(changed),
        "parameters": count(facts.get("n_parameters")),
        "blocks": count(facts.get("n_blocks")),
        "width": count(facts.get("width")),
        "dtype": str(facts.get("dtype", "–")),
    }


def dropped_shares(source: Source, scene: Scene) -> list[str]:
    """One sentence a policy on the site where it dropped the largest mean share of tokens, over all subjects."""
    frame = of_scene(source.layers, scene)
    frame = frame[frame["metric"] == "dropped_share"].dropna(subset=["value"])
    said: list[str] = []
    for tokens in frame["tokens"].drop_duplicates():
        part = frame[frame["tokens"] == tokens]
        worst = part.loc[pd.to_numeric(part["value"]).idxmax()]
        if worst["value"] > 0:
            short = next((s.short for s in source.subjects if s.label == worst["subject"]), worst["subject"])
            said.append(f"{tokens} drops up to {worst['value']:.2%} of the tokens at a site ({short}, {worst['site']})")
    return said


TIMINGS = (
    ("load_s", "load (s)"),
    ("forward_s", "forward (s)"),
    ("calibration_s", "calibration (s)"),
    ("metrics_s", "metrics (s)"),
    ("answering_s", "answering (s)"),
    ("probing_s", "probing (s)"),
    ("influence_s", "influence (s)"),
    ("tokens_per_s", "tokens/s"),
)


def timings(source: Source) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Headings and a line a subject; empty where run.json has no timings."""
    found = source.info.get("timings")
    shorts = {s.label: s.short for s in source.subjects}
    lines = found if isinstance(found, Mapping) else {}
    order = [*(s.label for s in source.subjects if s.label in lines), *lines]
    nested = {str(k): v for k in dict.fromkeys(order) if isinstance(v := lines[k], Mapping)}
    present = [(key, title) for key, title in TIMINGS if any(key in v for v in nested.values())]
    cells = [(shorts.get(k, k), [_timing(v.get(key)) for key, _ in present]) for k, v in nested.items()]
    return [title for _, title in present], cells if present else []


def _timing(value: Any) -> str:
    return number(float(value)) if is_number(value) else "–"


def tasks(source: Source) -> list[dict[str, str]]:
    """The tasks of run.json for a table."""
    keys = ("name", "context", "n_examples", "n_tokens", "examples_sha256")
    return [{k: _fact(t.get(k)) for k in keys} for t in distinct_tasks(source.info)]


def units(source: Source) -> list[str]:
    """What the intervals rest on, a line a task and context; empty for a run that did not count units."""
    return told_units(source.info)


def _fact(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "–" if value is None else str(value)
