"""What a lab concludes from its cells: outcomes of each model, groups over seeds, contrasts and slopes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from repflow.core import LayerRow, PathRow
from repflow.core.intervals import student
from repflow.drawing.source import where
from repflow.studies.kit.record import table_of
from repflow.studies.kit.thirds import THIRDS, thirds
from repflow.studies.lab.cells import Architecture, Cell
from repflow.studies.lab.rows import CellRow, ContrastRow, GroupRow, OutcomeRow, SlopeRow

ASKED_MOST = "kvpr 256"
"""The outcome that says whether a model retrieves."""
POLICY = "no_sink"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A number that each model ends with."""

    title: str
    unit: str
    share: bool = False
    """True for what lies from 0 to 1."""
    cosine: bool = False


OUTCOMES: Mapping[str, Outcome] = {
    "pairs 64": Outcome("pairs of single tokens, 64 tokens", "of answers right", share=True),
    ASKED_MOST: Outcome("kvpr, 256 tokens (as trained)", "of answers right", share=True),
    "kvpr 512": Outcome("kvpr, 512 tokens (twice as trained)", "of answers right", share=True),
    "kvpr 256, over training": Outcome("kvpr, mean over training", "of answers right", share=True),
    "text 256": Outcome("text", "nats a token"),
    **{f"{third}, raw": Outcome(f"{third} third", "inter-token cosine, raw", cosine=True) for third in THIRDS},
    **{f"{third}, centred": Outcome(f"{third} third", "inter-token cosine, centred", cosine=True) for third in THIRDS},
    "v_loc": Outcome("v_loc", "rms"),
    "v_glob": Outcome("v_glob", "rms"),
}
"""In the order of the tables."""


def outcomes_of(
    grid: Sequence[Cell], cells: Sequence[CellRow], layers: Sequence[LayerRow], paths: Sequence[PathRow]
) -> list[OutcomeRow]:
    """Every outcome of every model that came to its end."""
    answered = _answered(cells)
    alike = thirds(table_of(layers, LayerRow), {}).frame
    alike = alike[(alike["tokens"] == POLICY) & alike["variant"].isin(["raw", "centred"])]
    alike = alike[alike["step"] == alike.groupby("subject")["step"].transform("max")]
    flow = {
        (row["subject"], f"{row['third']}, {row['variant']}"): float(row["value"]) for row in alike.to_dict("records")
    }
    ends = where(table_of(paths, PathRow), tokens=POLICY, variant="rms")
    ends = ends[ends["metric"].isin(["v_loc", "v_glob"])]
    ends = ends[ends["step"] == ends.groupby("subject")["step"].transform("max")]
    flow |= {(row["subject"], row["metric"]): float(row["value"]) for row in ends.to_dict("records")}
    found: list[OutcomeRow] = []
    for cell in grid:
        for name in OUTCOMES:
            key = (cell.name, name)
            value, answers = answered.get(key, (flow.get(key, math.nan), None))
            if not math.isnan(value) and (cell.trained or answers is None):
                about = (cell.name, cell.architecture_name, cell.loss_name, cell.seed, cell.trained)
                found.append(OutcomeRow(*about, name, value, answers))
    return found


def _answered(cells: Sequence[CellRow]) -> dict[tuple[str, str], tuple[float, int | None]]:
    """Shares of answers and losses at the last step, and the mean share over training."""
    found: dict[tuple[str, str], tuple[float, int | None]] = {}
    course: dict[str, list[tuple[int, float, int]]] = {}
    for row in sorted(cells, key=lambda row: row.step):
        name = f"{row.task} {row.context}"
        share = row.right is not None and row.answers
        value = row.right / row.answers if row.right is not None and row.answers else row.nats
        found[row.subject, name] = value, row.answers if share else None
        if name == ASKED_MOST and row.answers:
            course.setdefault(row.subject, []).append((row.step, value, row.answers))
    for subject, points in course.items():
        steps, values, answers = zip(*points, strict=True)
        if steps[-1] > steps[0]:
            mean = float(np.trapezoid(values, steps) / (steps[-1] - steps[0]))
            found[subject, f"{ASKED_MOST}, over training"] = mean, min(answers)
    return found


def groups_of(outcomes: Sequence[OutcomeRow]) -> list[GroupRow]:
    """Means over seeds with Student's t; one training has no interval."""
    found: list[GroupRow] = []
    for key, rows in _grouped(outcomes).items():
        values = np.array([row.value for row in rows])
        mean, error = float(values.mean()), _error(rows)
        reach = error * float(student(np.array(len(values)), 0.95)) if len(values) > 1 else math.nan
        low, high = _within(key[3], mean - reach, mean + reach)
        found.append(GroupRow(*key, mean, low, high, float(values.min()), float(values.max()), len(values)))
    return found


def contrasts_of(outcomes: Sequence[OutcomeRow], reference: str) -> list[ContrastRow]:
    """Trained groups against the reference architecture; those with an added loss against the same without it."""
    grouped = {key: rows for key, rows in _grouped(outcomes).items() if key[2]}
    pairs: list[tuple[str, list[OutcomeRow], list[OutcomeRow]]] = []
    for (architecture, loss, _, outcome), rows in grouped.items():
        than = (reference, "none") if loss == "none" else (architecture, "none")
        against = grouped.get((*than, True, outcome))
        if against is not None and than != (architecture, loss) and min(len(rows), len(against)) > 1:
            pairs.append((outcome, rows, against))
    counts = {outcome: sum(pair[0] == outcome for pair in pairs) for outcome in OUTCOMES}
    found: list[ContrastRow] = []
    for outcome, rows, against in pairs:
        first, second = _error(rows) ** 2, _error(against) ** 2
        if first + second == 0:
            # Trainings that give one and the same number do not say how another would differ.
            first = second = math.nan
        freedom = (first + second) ** 2 / (first**2 / (len(rows) - 1) + second**2 / (len(against) - 1))
        t = float(student(np.array(freedom + 1), 1 - 0.05 / counts[outcome]))
        difference = _mean(rows) - _mean(against)
        reach = t * math.sqrt(first + second)
        low, high = difference - reach, difference + reach
        if OUTCOMES[outcome].share:
            low, high = max(-1.0, low), min(1.0, high)
        names = (rows[0].architecture, rows[0].loss, against[0].architecture, against[0].loss, outcome)
        found.append(ContrastRow(*names, difference, low, high, counts[outcome], len(rows), len(against)))
    return found


def slopes_of(outcomes: Sequence[OutcomeRow], grid: Sequence[Cell]) -> list[SlopeRow]:
    """For every family and every size that varies alone: least squares on its base-2 logarithm, over the models."""
    architectures = {cell.architecture_name: cell.architecture for cell in grid}
    found: list[SlopeRow] = []
    for family, factor, names in _ladders(architectures):
        for trained in (True, False):
            for outcome in OUTCOMES:
                rows = [
                    row
                    for row in outcomes
                    if row.outcome == outcome
                    and row.architecture in names
                    and row.loss == "none"
                    and row.trained == trained
                ]
                sizes = np.array([getattr(architectures[row.architecture], factor) for row in rows], dtype=float)
                levels = sorted(set(sizes.tolist()))
                if len(levels) < 2 or len(rows) < 3:
                    continue
                slope, reach = _line(np.log2(sizes), np.array([row.value for row in rows]))
                told = " ".join(f"{size:g}" for size in levels)
                ends = (slope - reach, slope + reach)
                found.append(SlopeRow(family, trained, factor, outcome, slope, *ends, told, len(rows)))
    return found


FACTORS = ("depth", "width", "state")


def _ladders(architectures: Mapping[str, Architecture]) -> Iterator[tuple[str, str, list[str]]]:
    """Families, a size, and the architectures that differ in it alone: the largest such set."""
    for family in dict.fromkeys(a.family for a in architectures.values()):
        mine = {name: a for name, a in architectures.items() if a.family == family and not a.layout}
        for factor in FACTORS:
            sets: dict[tuple[object, ...], list[str]] = {}
            for name, a in mine.items():
                rest = (a.norm, *(getattr(a, other) for other in FACTORS if other != factor))
                sets.setdefault(rest, []).append(name)
            widest = max(sets.values(), key=lambda names: len({getattr(mine[n], factor) for n in names}), default=[])
            if len({getattr(mine[name], factor) for name in widest}) > 1:
                yield family, factor, widest


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope, and how far its 95% interval reaches on either side."""
    spread = x - x.mean()
    slope = float(spread @ y / (spread @ spread))
    left = y - y.mean() - slope * spread
    error = math.sqrt(float(left @ left) / (len(x) - 2) / float(spread @ spread))
    return slope, error * float(student(np.array(len(x) - 1), 0.95))


def _grouped(outcomes: Sequence[OutcomeRow]) -> dict[tuple[str, str, bool, str], list[OutcomeRow]]:
    found: dict[tuple[str, str, bool, str], list[OutcomeRow]] = {}
    for row in outcomes:
        found.setdefault((row.architecture, row.loss, row.trained, row.outcome), []).append(row)
    return found


def _mean(rows: Sequence[OutcomeRow]) -> float:
    return float(np.mean([row.value for row in rows]))


def _error(rows: Sequence[OutcomeRow]) -> float:
    """Standard error of the mean over trainings; of a share never less than what so few questions leave open."""
    values = np.array([row.value for row in rows])
    if len(values) < 2:
        return math.nan
    variance = float(values.var(ddof=1))
    counted = [(row.value, row.answers) for row in rows if row.answers]
    if counted:
        smoothed = [((value * n + 1) / (n + 2), n) for value, n in counted]
        variance = max(variance, float(np.mean([p * (1 - p) / n for p, n in smoothed])))
    return math.sqrt(variance / len(values))


def _within(outcome: str, low: float, high: float) -> tuple[float, float]:
    if math.isnan(low):
        return low, high
    if OUTCOMES[outcome].share:
        return max(0.0, low), min(1.0, high)
    return (max(-1.0, low), min(1.0, high)) if OUTCOMES[outcome].cosine else (low, high)
