"""The head of a page: what it is about, and one line on what was run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from repflow.drawing.labels import count, is_number, joined, number
from repflow.drawing.source import Source, Subject, distinct_tasks
from repflow.store import steps_of, warning_lines
from repflow.studies import catalogue
from repflow.studies.kit.study import Study

_KINDS = {
    "TBM": "Transformer",
    "SSM": "state-space model",
    "linear attention": "linear-attention model",
    "convolution": "convolutional model",
    "recurrent": "recurrent model",
    "hybrid": "hybrid",
    "other": "other model",
}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
Parts = Sequence[tuple[str, Source]]


def kind_name(kind: str, many: int = 1) -> str:
    """What a kind of model is called."""
    return _KINDS.get(kind, kind) + ("s" if many > 1 else "")


def heading(parts: Parts, subjects: Sequence[Subject]) -> str:
    """What the page is about, in the words of the study that wrote the run."""
    names = [subject.short for subject in subjects]
    told = joined(names) if 0 < len(names) < 3 else f"these {_number(len(names))} models" if names else "these models"
    source = parts[0][1]
    wrote = [study for study in catalogue.STUDIES if study.name == source.info.get("command")]
    shown = [study for study in catalogue.STUDIES if study.name in source.parts]
    study = next(iter([*wrote, *shown]), Study)
    return study.heading.format(subjects=told)


def _number(n: int) -> str:
    return _NUMBERS[n] if n < len(_NUMBERS) else str(n)


def summary(parts: Parts, subjects: Sequence[Subject]) -> str:
    """One line, built only from facts the run holds."""
    told = [_subjects(subjects), _sizes(subjects), _tasks(parts), _steps(parts), _circumstances(parts[0][1].info)]
    return " · ".join(text for text in told if text)


def warned(parts: Parts) -> int:
    """How many warnings the run and its parts give."""
    return sum(len(list(warning_lines(source.info))) for _, source in parts)


def _subjects(subjects: Sequence[Subject]) -> str:
    if not subjects:
        return "no subjects named"
    found: dict[tuple[str, str], int] = {}
    for subject in subjects:
        trained = {"trained": "", "": ""}.get(str(subject.facts.get("init", "")), "untrained ")
        key = (trained, subject.kind)
        found[key] = found.get(key, 0) + 1
    return ", ".join(f"{many} {trained}{kind_name(kind, many)}" for (trained, kind), many in found.items())


def _sizes(subjects: Sequence[Subject]) -> str:
    told = [subject.facts.get("n_parameters") for subject in subjects]
    found = [n for n in told if isinstance(n, int) and is_number(n)]
    if not found:
        return ""
    ends = dict.fromkeys((count(min(found)), count(max(found))))
    return f"{' to '.join(ends)} parameters{' each' if len(found) > 1 else ''}"


def _tasks(parts: Parts) -> str:
    """Tasks with their contexts, examples and units, each named once."""
    contexts: dict[str, dict[int, None]] = {}
    examples: list[int] = []
    for _, source in parts:
        told = [(str(t.get("name")), t.get("context"), t.get("n_examples")) for t in distinct_tasks(source.info)]
        for name, context, n in told or [(s.task, s.context, None) for s in source.scenes]:
            contexts.setdefault(name, {})[int(context or 0)] = None
            examples += [n] if isinstance(n, int) else []
    same = {tuple(found) for found in contexts.values()}
    if len(same) == 1:
        text = f"{joined(contexts)} at {_lengths(next(iter(contexts.values())))}" if contexts else ""
    else:
        text = "; ".join(f"{name} at {_lengths(found)}" for name, found in contexts.items())
    few = (
        "" if not examples else f"{_span(examples)} examples each" if len(examples) > 1 else f"{examples[0]:,} examples"
    )
    return " · ".join(filter(None, (text, few)))


def _lengths(contexts: Mapping[int, Any]) -> str:
    return f"{joined(f'{n:,}' for n in sorted(contexts))} tokens"


def _span(found: Sequence[int]) -> str:
    return " to ".join(dict.fromkeys((f"{min(found):,}", f"{max(found):,}")))


def _steps(parts: Parts) -> str:
    """Over how much of training; empty for models as they stand."""
    for _, source in parts:
        if "steps" in source.parts:
            layers = source.parts["steps"].layers
            rows = pd.DataFrame({"subject": layers["subject"], "step": steps_of(layers)}).dropna().drop_duplicates()
            if len(rows):
                counts = rows["subject"].value_counts()
                return (
                    f"at {_span([*counts])} steps of training, {rows['step'].min():,.0f} to {rows['step'].max():,.0f}"
                )
    return ""


def _circumstances(info: Mapping[str, Any]) -> str:
    parts = [f"seed {info['seed']}"] if info.get("seed") is not None else []
    timings = info.get("timings")
    total = timings.get("total_s") if isinstance(timings, Mapping) else None
    if isinstance(total, int | float):
        parts.append(f"{number(total)} s" if total < 120 else f"{total / 60:.1f} min")
    return " · ".join(parts)
