"""Verdicts of a probe run, each with what it was judged by: interval, chance, units, and what it was corrected for."""

import math
from dataclasses import asdict
from typing import Any

from repflow.studies.probe.rows import ProbeSummaryRow, TellingRow
from repflow.studies.probe.verdicts import (
    NOT_SHOWN,
    READABLE_NOT_SAID,
    TOLD,
    no_peak,
    peak_told,
    percent,
    told_position,
    units_of,
)

DEPTH, TELLING = "probe_depth", "readable_not_said"
"""Ids of the findings."""
_KEY = ("subject", "task", "context", "position", "target")


def depth_finding(row: ProbeSummaryRow) -> dict[str, Any]:
    """Whether the gold's position or value is read above chance at any site, and where best."""
    told = asdict(row)
    return {
        "id": DEPTH,
        **{name: told[name] for name in _KEY},
        "claim": f"{_where(told)}: {no_peak(told) or peak_told(told)}",
        "value": row.highest,
        "interval": _interval(row.highest_low, row.highest_high),
        "threshold": max(row.chance, row.majority),
        "verdict": row.verdict,
        "units": row.n_units,
        "corrected_for": [f"choosing among {row.n_sites} sites"],
        "evidence": [{"table": "probe_summary", **{name: told[name] for name in _KEY}}],
    }


def telling_finding(row: TellingRow, summary: ProbeSummaryRow) -> dict[str, Any]:
    """Whether the place is read in more prompts than the answer is right in, each above its own chance level."""
    told = asdict(row)
    corrected = [f"choosing among {summary.n_sites} sites", "what guessing reaches (probe 1/classes, answer 0)"]
    claim = (
        f"{_where(told)}: at {row.site} the place is read in {_limits(told, 'probe_above')} of prompts beyond guessing "
        f"(chance {percent(summary.chance)}%), the answer is right in {_limits(told, 'answered')} (chance 0%); "
        f"difference in points {_limits(told, 'difference', '')} ({units_of(row.task, summary.n_units)}, corrected for "
        f"choosing among {summary.n_sites} sites)"
    )
    return {
        "id": TELLING,
        **{name: told[name] for name in _KEY},
        "claim": claim,
        "value": row.difference,
        "interval": _interval(row.difference_low, row.difference_high),
        "threshold": 0.0,
        "verdict": READABLE_NOT_SAID if row.difference_low > 0 else NOT_SHOWN,
        "units": summary.n_units,
        "corrected_for": corrected,
        "evidence": [{"table": "telling", **{name: told[name] for name in (*_KEY, "at", "site")}}],
    }


def _limits(row: dict[str, Any], name: str, unit: str = "%") -> str:
    value, low, high = (percent(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value}{unit} [{low}, {high}]"


def _where(row: dict[str, Any]) -> str:
    return f"{row['task']} at {row['context']:,} tokens, {told_position(row['position'])}, {TOLD[row['target']]}"


def _interval(low: float, high: float) -> list[float] | None:
    return None if math.isnan(low) else [low, high]
