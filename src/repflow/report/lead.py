"""The opening paragraph: what was run, in plain words."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from repflow.drawing.labels import count, joined, number
from repflow.drawing.source import Source, distinct_tasks
from repflow.store import steps_of

_KINDS = {
    "TBM": "Transformer",
    "SSM": "state-space model",
    "linear attention": "linear-attention model",
    "convolution": "convolutional model",
    "recurrent": "recurrent model",
    "hybrid": "hybrid",
    "other": "other model",
}


def summary(source: Source) -> str:
    """One paragraph, built only from facts the run holds."""
    sentences = [_subjects(source), _tasks(source), _steps(source), _circumstances(source.info)]
    return " ".join(s for s in sentences if s)


def _subjects(source: Source) -> str:
    if not source.subjects:
        return "This run names no subjects."
    texts: list[str] = []
    for subject in source.subjects:
        facts = subject.facts
        trained = {"trained": "trained", "": ""}.get(str(facts.get("init", "")), "untrained")
        kind = " ".join(w for w in (trained, _KINDS.get(subject.kind, subject.kind)) if w)
        size = [f"{count(facts[k])} {unit}" for k, unit in _SIZES if k in facts]
        texts.append(f"{subject.short} ({', '.join([kind, *size])})")
    noun = "subject" if len(texts) == 1 else "subjects"
    return f"{len(texts)} {noun}: {joined(texts)}."


_SIZES = (("n_parameters", "parameters"), ("n_blocks", "blocks"))


def _tasks(source: Source) -> str:
    texts: list[str] = []
    for task in distinct_tasks(source.info):
        about = [f"context {_whole(task.get('context'))}", f"{_whole(task.get('n_examples'))} examples"]
        if task.get("n_tokens"):
            about.append(f"{_whole(task.get('n_tokens'))} tokens")
        texts.append(f"{task.get('name')} ({', '.join(about)})")
    if not texts:
        texts = [f"{s.task} (context {s.context:,})" for s in source.scenes]
    return f"Measured on {joined(texts)}." if texts else ""


def _steps(source: Source) -> str:
    """Over how much of training; empty for models as they stand."""
    if "steps" not in source.parts:
        return ""
    layers = source.parts["steps"].layers
    rows = pd.DataFrame({"subject": layers["subject"], "step": steps_of(layers)}).dropna().drop_duplicates()
    if rows.empty:
        return ""
    counts = rows["subject"].value_counts()
    many = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    return f"Measured at {many} steps of training, {rows['step'].min():,.0f} to {rows['step'].max():,.0f}."


def _circumstances(info: Mapping[str, Any]) -> str:
    parts: list[str] = []
    if info.get("seed") is not None:
        parts.append(f"seed {info['seed']}")
    versions = info.get("versions")
    named = {"repflow": info.get("repflow_version"), **(versions if isinstance(versions, Mapping) else {})}
    shown = [f"{name} {named[name]}" for name in ("repflow", "torch", "transformers") if named.get(name)]
    total = _seconds(info.get("timings"))
    told = ", ".join([*parts, *shown]) + (f"; {total} in all" if total else "")
    return f"{told[0].upper()}{told[1:]}." if told.strip("; ") else ""


def _seconds(timings: Any) -> str:
    if not isinstance(timings, Mapping):
        return ""
    total = timings.get("total_s")
    if not isinstance(total, int | float):
        return ""
    return f"{number(total)} s" if total < 120 else f"{total / 60:.1f} min"


def _whole(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "–"
