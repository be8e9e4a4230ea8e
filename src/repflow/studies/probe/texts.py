"""What is seen in the figures of probes, a sentence or two made from their numbers.

Every sentence about a peak is of probes above chance; of the others it is said that they are not.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from repflow.drawing.labels import joined, number
from repflow.drawing.source import Scene, where
from repflow.studies.probe.verdicts import (
    ABOVE,
    LEVEL,
    TARGETS,
    UNKNOWN,
    no_peak,
    peak_told,
    told_of,
    told_position,
    units_of,
)

Shorts = Mapping[str, str]
"""Short name by subject label."""
NOBODY = "No site is above chance"
_NAMED = 6
"""Curves of one kind that are named; of more the rest is counted."""


def percent(value: Any, low: Any, high: Any) -> tuple[str, str]:
    """A share and its interval in percent, one decimal; an en dash for none."""
    if pd.isna(value):
        return "–", ""
    known = not (pd.isna(low) or pd.isna(high))
    return f"{100 * value:.1f}", f"[{100 * low:.1f}, {100 * high:.1f}]" if known else ""


def _highest(frame: pd.DataFrame, column: str) -> pd.Series:
    return frame.iloc[int(frame[column].argmax())]


def _named(row: pd.Series, shorts: Shorts) -> str:
    return f"{shorts[row['subject']]}, {Scene(row['task'], row['context']).title}"


def depth_said(summary: pd.DataFrame, shorts: Shorts) -> str:
    """The highest peak, the largest of the drops to the last block that are shown, and who has none; of one place."""
    above = where(summary, verdict=ABOVE)
    told = [_peak_said(above, shorts)] if len(above) else []
    return told_of(_target(summary), " ".join([*told, *without_peak(summary, shorts)]))


def _target(summary: pd.DataFrame) -> str:
    """What all these curves are of."""
    return TARGETS[0] if summary.empty else str(summary["target"].iloc[0])


def _peak_said(above: pd.DataFrame, shorts: Shorts) -> str:
    top = _highest(above, "peak")
    shown = above[above["gap_low"] > 0]
    counted = f"A drop from the peak to the last block is shown by {len(shown)} of {len(above)} curves above chance"
    if len(shown):
        most = _highest(shown, "gap")
        points, bounds = percent(most["gap"], most["gap_low"], most["gap_high"])
        counted += f", the largest {points} points {bounds} ({_named(most, shorts)})"
    return f"Highest of the peaks, {_named(top, shorts)}: {peak_told(dict(top))}. {counted}."


def without_peak(summary: pd.DataFrame, shorts: Shorts) -> list[str]:
    """A sentence on the curves that are not above chance, and one on those without an interval."""
    said: list[str] = []
    level, unknown = (where(summary, verdict=verdict) for verdict in (LEVEL, UNKNOWN))
    if len(level):
        top = _highest(level, "highest")
        named = "" if len(level) == len(summary) else f" with {_list(level, shorts)}"
        why = no_peak(dict(top)).partition(": ")[2]
        whose = f", {_named(top, shorts)}" if len(level) > 1 or not named else ""
        said.append(f"{NOBODY}{named}; {why}{whose}.")
    if len(unknown):
        first = unknown.iloc[0]
        said.append(f"{_list(unknown, shorts)}: {no_peak(dict(first))}.")
    return said


def _nobody(summary: pd.DataFrame) -> str:
    """Why none of the curves has a peak."""
    return NOBODY if len(where(summary, verdict=LEVEL)) else "No interval"


def _list(rows: pd.DataFrame, shorts: Shorts) -> str:
    names = [f"{shorts[row['subject']]} ({Scene(row['task'], row['context']).title})" for _, row in rows.iterrows()]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return joined([*names[:_NAMED], *more])


def table_said(summary: pd.DataFrame, shorts: Shorts) -> str:
    """Where the peaks lie, over the subjects that are no random baseline and are above chance; of one place."""
    return told_of(_target(summary), _table_said(summary, shorts))


def _table_said(summary: pd.DataFrame, shorts: Shorts) -> str:
    own = summary[summary["baseline_of"].isna()]
    above = where(own, verdict=ABOVE)
    if own.empty:
        return ""
    if above.empty:
        return f"{_nobody(own)}: there is no peak."
    few = "" if len(above) == len(own) else f" {len(own) - len(above)} of {len(own)} curves have none."
    first, last = above.iloc[int(above["peak_depth"].argmin())], _highest(above, "peak_depth")
    if first["peak_depth"] == last["peak_depth"]:
        return f"All peaks lie at relative depth {number(first['peak_depth'], 2)}.{few}"
    inner = int((above["peak_depth"] < 1).sum())
    ends = [f"{number(row['peak_depth'], 2)} ({_named(row, shorts)})" for row in (first, last)]
    return f"Peaks lie at relative depth {ends[0]} to {ends[1]}; {inner} of {len(above)} before the last block.{few}"


def telling_said(rows: pd.DataFrame, summary: pd.DataFrame, shorts: Shorts) -> str:
    """Where the probe at the peak reads the place in more prompts than are answered rightly; of one scene and place."""
    return told_of(_target(summary), _telling_said(rows, summary, shorts))


def _telling_said(rows: pd.DataFrame, summary: pd.DataFrame, shorts: Shorts) -> str:
    peaks = where(rows, at="peak")
    together, classes = peaks[peaks["gold_class"].isna()], peaks[peaks["gold_class"].notna()]
    known = together[together["difference_low"].notna()]
    if known.empty:
        return f"{_nobody(summary)}: nothing is readable and not said."
    shown = known[known["difference_low"] > 0]
    corrected = "corrected for choosing the site, and for looking at each place of the gold"
    if shown.empty:
        return f"With none of {len(known)} subjects above chance is more readable than said ({corrected})."
    most = _highest(shown, "difference")
    value, limits = percent(most["difference"], most["difference_low"], most["difference_high"])
    readable, said = (percent(most[name], None, None)[0] for name in ("probe_above", "answered"))
    units = where(summary, subject=most["subject"])["n_units"]
    ahead = int((where(classes, subject=most["subject"])["difference_low"] > 0).sum())
    guess = percent(summary["chance"].iloc[0], None, None)[0]
    of = len(where(classes, subject=most["subject"]))
    return (
        f"More is readable than said with {len(shown)} of {len(known)} subjects above chance. The largest difference: "
        f"{shorts[most['subject']]}, where beyond guessing (chance {guess}%) the place is read in {readable}% of "
        f"prompts, {said}% are answered rightly, {value} points {limits} "
        f"({units_of(most['task'], units.iloc[0])}); at {ahead} of {of} places of the gold by itself ({corrected})."
    )


def place_said(summary: pd.DataFrame, shorts: Shorts) -> str:
    """The best place of one scene, and how well the last token does."""
    return told_of(_target(summary), _place_said(summary, shorts))


def _place_said(summary: pd.DataFrame, shorts: Shorts) -> str:
    above = where(summary, verdict=ABOVE)
    if above.empty:
        return f"{_nobody(summary)} at any place."
    top = _highest(above, "peak")
    said = f"Most is readable with {shorts[top['subject']]}, {told_position(top['position'])}: {peak_told(dict(top))}"
    said += f"; {len(above)} of {len(summary)} curves are above chance, each judged by itself"
    last = where(summary, position="last")
    if last.empty or top["position"] == "last":
        return f"{said}."
    read = where(last, verdict=ABOVE)
    if read.empty:
        return f"{said}. {_nobody(last)} at the last token."
    best = _highest(read, "peak")
    value, limits = percent(best["peak"], best["peak_low"], best["peak_high"])
    return f"{said}. At the last token with {shorts[best['subject']]} at {best['peak_site']}: {value}% {limits}."
