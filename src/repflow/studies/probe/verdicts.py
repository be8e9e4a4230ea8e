"""Whether a probe is above chance: one rule, and the words it is told in, for rows, findings, `show` and the report."""

import math
from collections.abc import Mapping
from typing import Any

from repflow.core.intervals import MIN_UNITS

ABOVE = "above chance"
LEVEL = "not above chance"
UNKNOWN = "no interval"

READABLE_NOT_SAID = "readable, not said"
NOT_SHOWN = "not shown"

TARGETS = ("position", "value")
"""What probes look for: where the gold stands, or which of the prompt's values it has."""
TOLD = {"position": "the gold's position", "value": "the gold's value"}

UNITS = {"kvpr": "sets of pairs", "mdqa": "questions"}
"""What is resampled, by task."""


def probe_verdict(low: float, chance: float, majority: float) -> str:
    """What may be said of the best of several sites.

    Args:
        low: the lower limit of its accuracy, corrected for having chosen it; NaN for none.
        chance: 1 / classes.
        majority: accuracy of always naming the class most frequent in training.

    `above chance` where the interval takes in neither; `not above chance` else; `no interval` where nothing can be
    said either way. Only the first may be followed by a peak, a gap or a comparison with what the model answers.
    """
    if math.isnan(low):
        return UNKNOWN
    return ABOVE if low > max(chance, majority) else LEVEL


def units_of(task: object, count: float) -> str:
    """`40 questions`; a number that is not known is left out."""
    name = UNITS.get(str(task), "groups")
    return name if math.isnan(count) else f"{count:.0f} {name}"


def no_peak(row: Mapping[str, Any]) -> str:
    """Why a summary row has no peak, with what it was judged by; "" for one that has.

    `row` has the fields of `ProbeSummaryRow`.
    """
    if row["verdict"] == UNKNOWN:
        few = units_of(row["task"], row["n_units"])
        return f"no interval, so nothing is said of a peak: {few} held out, {MIN_UNITS} are needed"
    return f"no site is above chance: {_judged(row, 'the highest')}" if row["verdict"] == LEVEL else ""


def peak_told(row: Mapping[str, Any]) -> str:
    """The peak of a summary row that has one, with what it was judged by."""
    return f"best read at {row['peak_site']}: {_judged(row, 'accuracy')}"


def _judged(row: Mapping[str, Any], what: str) -> str:
    share = f"{what} {percent(row['highest'])}% [{percent(row['highest_low'])}, {percent(row['highest_high'])}]"
    guess = f"chance {percent(row['chance'])}%"
    if row["majority"] > row["chance"]:
        guess += f", majority {percent(row['majority'])}%"
    sites = (
        f"corrected for choosing among {row['n_sites']:.0f} sites" if row["n_sites"] > 0 else "corrected for choosing"
    )
    return f"{share}, {guess} ({units_of(row['task'], row['n_units'])}, {sites})"


def percent(share: float) -> str:
    """A share in percent, one decimal; an en dash for none."""
    return "–" if math.isnan(share) else f"{100 * share:.1f}"


def told_of(target: str, said: str) -> str:
    """A statement that names the target it is about; "" for an empty one."""
    about = TOLD[target]
    return f"{about[0].upper()}{about[1:]}: {said}" if said else ""


def told_position(position: str) -> str:
    """A place of the prompt in words."""
    if position in _PLACES:
        return _PLACES[position]
    k, _, n = position.removeprefix("even.").partition("of")
    return f"{int(k) / (int(n) + 1):.0%} into the prompt"


_PLACES = {
    "last": "last token",
    "ask": "where the answer is asked for",
    "gold": "end of the gold",
    "mean": "mean over tokens",
}
