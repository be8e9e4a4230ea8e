"""Tables of the report as plain text cells; escaping is the template's work."""

from collections.abc import Mapping
from typing import Any

from repflow.drawing.labels import count, is_number, number
from repflow.drawing.source import Source, Subject, distinct_tasks
from repflow.store import told_units


def subject_facts(subject: Subject) -> dict[str, str]:
    """What the subjects table says of one subject."""
    facts = subject.facts
    init = str(facts.get("init", "–"))
    changed = [str(x) for x in facts.get("interventions") or ()]
    return {
        "kind": subject.kind + (", mixture of experts" if facts.get("experts") else ""),
        "family": str(facts.get("family", "–")),
        "weights": (init if init in ("trained", "–") else f"untrained ({init})") + _unable(facts),
        "changed": ", ".join(changed),
        "parameters": count(facts.get("n_parameters")),
        "blocks": count(facts.get("n_blocks")),
        "width": count(facts.get("width")),
        "dtype": str(facts.get("dtype", "–")),
    }


def _unable(facts: Mapping[str, Any]) -> str:
    return ", does not retrieve" if facts.get("retrieves") is False else ""


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
