"""What is seen in the figures of probes, a sentence or two made from their numbers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from repflow.report._labels import number
from repflow.report._proberows import told_position, told_scene

Shorts = Mapping[str, str]
"""Short name by subject label."""


def percent(value: Any, low: Any, high: Any) -> tuple[str, str]:
    """A share and its interval in percent, one decimal; an en dash for none."""
    if pd.isna(value):
        return "–", ""
    known = not (pd.isna(low) or pd.isna(high))
    return f"{100 * value:.1f}", f"[{100 * low:.1f}, {100 * high:.1f}]" if known else ""


def _highest(frame: pd.DataFrame, column: str) -> pd.Series:
    return frame.iloc[int(frame[column].argmax())]


def depth_said(summary: pd.DataFrame, shorts: Shorts) -> str:
    """The highest peak, and the largest of the drops to the last block that are shown; of one place."""
    top = _highest(summary, "peak")
    value, limits = percent(top["peak"], top["peak_low"], top["peak_high"])
    shown = summary[summary["gap_low"] > 0]
    counted = f"A drop from the peak to the last block is shown by {len(shown)} of {len(summary)} curves"
    if len(shown):
        most = _highest(shown, "gap")
        points, bounds = percent(most["gap"], most["gap_low"], most["gap_high"])
        counted += f", the largest {points} points {bounds} ({_named(most, shorts)})"
    peak = f"{value}%{' ' + limits if limits else ''} at {top['peak_site']} ({_named(top, shorts)}; chance"
    return f"The highest peak is {peak} {100 * top['chance']:.1f}%). {counted}."


def _named(row: pd.Series, shorts: Shorts) -> str:
    return f"{shorts[row['subject']]}, {told_scene((row['task'], row['context']))}"


def table_said(summary: pd.DataFrame, shorts: Shorts) -> str:
    """Where the peaks lie, over the subjects that are no random baseline; of one place."""
    own = summary[summary["baseline_of"].isna()]
    if own.empty:
        return ""
    first, last = own.iloc[int(own["peak_depth"].argmin())], _highest(own, "peak_depth")
    inner = int((own["peak_depth"] < 1).sum())
    if first["peak_depth"] == last["peak_depth"]:
        return f"All peaks lie at relative depth {number(first['peak_depth'], 2)}."
    ends = [f"{number(row['peak_depth'], 2)} ({_named(row, shorts)})" for row in (first, last)]
    return f"Peaks lie at relative depth {ends[0]} to {ends[1]}; {inner} of {len(own)} before the last block."


def telling_said(rows: pd.DataFrame, shorts: Shorts) -> str:
    """Where the probe at the peak names the gold's place more often than the model answers rightly."""
    classes = rows[rows["gold_class"].notna() & rows["difference"].notna()]
    if classes.empty:
        return ""
    shown = classes[classes["difference_low"] > 0]
    most = _highest(classes, "difference")
    value, limits = percent(most["difference"], most["difference_low"], most["difference_high"])
    readable, said = (percent(most[name], None, None)[0] for name in ("probe", "answered"))
    return (
        f"At the peak the probe is clearly ahead of the answers at {len(shown)} of {len(classes)} places of the gold. "
        f"The largest difference is with {shorts[most['subject']]} at place {int(most['gold_class']) + 1}: "
        f"{readable}% readable, {said}% said, {value} points {limits}".rstrip()
        + "."
    )


def place_said(rows: pd.DataFrame, shorts: Shorts) -> str:
    """The brightest cell, and how well the last token does."""
    top = _highest(rows, "accuracy")
    value, limits = percent(top["accuracy"], top["ci_low"], top["ci_high"])
    best = f"{shorts[top['subject']]} at {top['site']}, {told_position(top['position'])}"
    said = f"The answer is most readable with {best}: {value}% {limits}".rstrip()
    last = rows[rows["position"] == "last"]
    if last.empty or top["position"] == "last":
        return f"{said}."
    best = _highest(last, "accuracy")
    return f"{said}; at the last token with {shorts[best['subject']]} at {best['site']}: {100 * best['accuracy']:.1f}%."
