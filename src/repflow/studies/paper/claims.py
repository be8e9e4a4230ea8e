"""Judges the paper's claims: a line a model for every statistic, and a line for all models of a kind together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import comb
from typing import TYPE_CHECKING, Any

from repflow.studies.paper.curves import Choice, Number
from repflow.studies.paper.readings import Reading
from repflow.studies.paper.rows import FAILS, HOLDS, UNDECIDED, UNTESTABLE, ClaimRow
from repflow.studies.paper.settings import PARTS
from repflow.studies.paper.statistics import ALTERNATIVES, STATISTICS, Statistic
from repflow.studies.paper.texts import UNTESTED

if TYPE_CHECKING:
    from repflow.store import Run

_DECIDING = Choice()
_NOTHING = Number(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class Judged:
    """The line of one model, and the numbers it has with other choices."""

    row: ClaimRow
    others: Mapping[str, Number]


def claim_rows(
    runs: Mapping[str, "Run"], labels: Sequence[str], left_out: Mapping[str, str] | None = None
) -> list[ClaimRow]:
    """Every statistic of every claim.

    Args:
        runs: the runs inside, by name.
        labels: the models, as the runs call them.
        left_out: why other runs are not there, by name.
    """
    known = {str(each["label"]): each for run in runs.values() for each in run.subjects}
    facts = {label: known[label] for label in labels if label in known}
    found = [row for statistic in STATISTICS for row in _rows(statistic, runs, facts, left_out or {})]
    return [*found, *(_empty(*each) for each in UNTESTED)]


def _rows(
    statistic: Statistic,
    runs: Mapping[str, "Run"],
    facts: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, str],
) -> list[ClaimRow]:
    """The lines of one statistic: of each reading (task, context, what is probed) the models', then all together."""
    single = [row for label, about in facts.items() for row in _of_model(statistic, runs, label, about)]
    if not single:
        return [_absent(statistic, kind, runs, left_out) for kind in _told_kinds(statistic)]
    groups: dict[tuple[str, str, int], list[Judged]] = {}
    for each in single:
        groups.setdefault((each.row.detail, each.row.task, each.row.context), []).append(each)
    found: list[ClaimRow] = []
    for judged in groups.values():
        found += [each.row for each in judged]
        found += [_together(statistic, kind, judged) for kind in _told_kinds(statistic)]
    return found


def _told_kinds(statistic: Statistic) -> tuple[str, ...]:
    """The kinds that get a line of their own; kinds that are compared have one together."""
    return (" and ".join(statistic.kinds),) if statistic.compares else statistic.kinds


def _of_model(statistic: Statistic, runs: Mapping[str, "Run"], label: str, facts: Mapping[str, Any]) -> list[Judged]:
    others = {name: statistic.read(runs, label, ALTERNATIVES[name]) for name in statistic.alternatives}
    return [_judged(statistic, reading, label, facts, others) for reading in statistic.read(runs, label, _DECIDING)]


def _judged(
    statistic: Statistic,
    reading: Reading,
    label: str,
    facts: Mapping[str, Any],
    others: Mapping[str, Sequence[Reading]],
) -> Judged:
    """One reading, and the same with other choices."""
    row = _row(statistic, reading, label, facts)
    numbers: dict[str, Number] = {}
    for name, readings in others.items():
        other = next((each for each in readings if each.same_as(reading)), None)
        if other is None or other.number is None or row.verdict == UNTESTABLE:
            continue
        numbers[name] = other.number
        told = _verdict(statistic, other)[0] if row.verdict else ""
        row = replace(row, **{name: told, f"{name}_value": other.number.value})
    return Judged(row, numbers)


def _row(statistic: Statistic, reading: Reading, label: str, facts: Mapping[str, Any]) -> ClaimRow:
    number, kind = reading.number or _NOTHING, str(facts.get("kind", "other"))
    verdict, reason = _verdict(statistic, reading) if kind in statistic.kinds else ("", "")
    if verdict and statistic.retrieval and facts.get("retrieves") is False:
        number, verdict, reason = _NOTHING, UNTESTABLE, "it does not retrieve"
    return ClaimRow(
        statistic.claim, statistic.text, reading.detail, statistic.rule, label, kind, 1, reading.part, reading.task,
        reading.context, number.value, number.low, number.high, statistic.threshold, verdict, reason,
        n_units=number.units or None,
    )  # fmt: skip


def _verdict(statistic: Statistic, reading: Reading) -> tuple[str, str]:
    """Of one model, and why where the numbers do not say it."""
    number = reading.number
    if number is None:
        return UNTESTABLE, reading.reason
    if statistic.compares:
        return "", reading.reason
    if math.isnan(number.low) or math.isnan(number.high):
        return UNDECIDED, "no interval: too few independent units"
    if statistic.within is not None:
        return _placed(statistic.within, number, reading.blocks)
    inside, outside = number.low > statistic.threshold, number.high < statistic.threshold
    if not statistic.above:
        inside, outside = outside, inside
    return (HOLDS if inside else FAILS if outside else UNDECIDED), reading.reason


def _placed(within: tuple[float, float], number: Number, blocks: int) -> tuple[str, str]:
    """Whether a place in depth is the published one, give or take a block."""
    block = 1 / blocks if blocks else 0.0
    low, high = within[0] - block - 1e-9, within[1] + block + 1e-9
    if low <= number.low and number.high <= high:
        return HOLDS, ""
    return (FAILS, "") if number.high < low or number.low > high else (UNDECIDED, "")


def _together(statistic: Statistic, kind: str, judged: Sequence[Judged]) -> ClaimRow:
    """The line of all models of a kind, or of the kinds that are compared."""
    mine = [each for each in judged if each.row.kind in (statistic.kinds if statistic.compares else (kind,))]
    judge = partial(_compared, statistic) if statistic.compares else _counted
    verdict, reason, models = judge(mine, "")
    told = {name: judge(mine, name)[0] for name in statistic.alternatives if any(name in each.others for each in mine)}
    nan = math.nan
    line = replace(
        judged[0].row, subject=None, kind=kind, models=models, value=nan, ci_low=nan, ci_high=nan, verdict=verdict,
        reason=reason, hf="", all_tokens="", centred="", hf_value=nan, all_tokens_value=nan, centred_value=nan,
        n_units=None,
    )  # fmt: skip
    return replace(line, **told)


def _counted(judged: Sequence[Judged], name: str) -> tuple[str, str, int]:
    """All models hold, all fail, or neither; with how many could be judged. `name` is another choice."""
    verdicts = [getattr(each.row, name) if name else each.row.verdict for each in judged]
    told = [verdict for verdict in verdicts if verdict in (HOLDS, FAILS, UNDECIDED)]
    if not told:
        reasons = sorted({each.row.reason for each in judged if each.row.reason})
        return UNTESTABLE, "; ".join(reasons) or "no such model", 0
    said = f"{told.count(HOLDS)} of {len(told)} hold, {told.count(FAILS)} fail"
    said += f"; {len(judged) - len(told)} not testable" if len(told) < len(judged) else ""
    return (told[0] if len(set(told)) == 1 else UNDECIDED), said, len(told)


def _compared(statistic: Statistic, judged: Sequence[Judged], name: str) -> tuple[str, str, int]:
    """Whether every model of one kind lies beyond every one of the other, over their whole intervals."""
    judged = [each for each in judged if not math.isnan(each.row.value)]
    first, second = ([_ends(each, name) for each in judged if each.row.kind == kind] for kind in statistic.kinds)
    models = len(first) + len(second)
    if not first or not second:
        return UNTESTABLE, f"needs models of both kinds, has {len(first)} and {len(second)}", models
    said = (
        f"{len(first)} against {len(second)} models, an order that comes once in {comb(models, len(first))} by chance"
    )
    if any(math.isnan(end) for ends in (*first, *second) for end in ends):
        return UNDECIDED, "no interval: too few independent units", models
    above, below = (first, second) if statistic.above else (second, first)
    if min(low for low, _ in above) > max(high for _, high in below):
        return HOLDS, said, models
    if max(high for _, high in above) < min(low for low, _ in below):
        return FAILS, said, models
    return UNDECIDED, f"{len(first)} against {len(second)} models, whose values overlap", models


def _ends(judged: Judged, name: str) -> tuple[float, float]:
    if not name:
        return judged.row.ci_low, judged.row.ci_high
    number = judged.others.get(name, _NOTHING)
    return number.low, number.high


def _absent(statistic: Statistic, kind: str, runs: Mapping[str, "Run"], left_out: Mapping[str, str]) -> ClaimRow:
    """The line of a statistic of which no model has a number."""
    parts = [part for part in PARTS if part.removesuffix("-kvpr").removesuffix("-mdqa") == statistic.part]
    gone = [f"{part} was left out: {left_out[part]}" for part in parts if part in left_out]
    missing = [part for part in parts if part not in runs and part not in left_out]
    reason = "; ".join(gone) or (f"{' and '.join(missing)} was not run" if missing else "no model has it")
    return _empty(statistic.claim, statistic.text, kind, reason, statistic.rule, statistic.part, statistic.threshold)


def _empty(
    claim: str, text: str, kind: str, reason: str, rule: str = "", part: str = "", threshold: float = math.nan
) -> ClaimRow:
    nan = math.nan
    return ClaimRow(claim, text, "", rule, None, kind, 0, part, "", 0, nan, nan, nan, threshold, UNTESTABLE, reason)
