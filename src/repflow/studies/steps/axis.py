"""What a run of models in training holds of one scene: the quantities of the maps, the thirds, the axis of steps."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from repflow.drawing.heatmap import ESTIMATE, ordered_sites, spaced
from repflow.drawing.labels import number
from repflow.drawing.source import Rows, RunLike, Scene, is_final, of_scene, values
from repflow.store import last_steps, steps_of
from repflow.studies.kit.thirds import Thirds, thirds


@dataclass(frozen=True)
class Training:
    """Every step of a run of models in training, where the frames of `Source` hold the last one."""

    layers: pd.DataFrame
    pairs: pd.DataFrame
    thirds: Thirds


def read_training(run: RunLike, rows: Rows) -> Training | None:
    """The steps of a run; None for a run of models as they stand."""
    if not last_steps(*rows):
        return None
    return Training(rows.layers, rows.pairs, thirds(rows.layers, getattr(run, "replicates", None) or {}))


MAPS: Mapping[str, str] = {
    "inter_token_cosine": "inter-token cosine",
    "adjacent_cosine": "adjacent cosine",
    "cka": "CKA with the site before",
    "update_ratio": "update ratio",
}
"""The quantities drawn against depth and step, as they are called there."""


def map_rows(training: Training, scene: Scene, metric: str) -> pd.DataFrame:
    """The rows of one quantity of `MAPS` at every step, of all subjects; of a pair `site` is the later."""
    frame = of_scene(training.pairs if metric == "cka" else training.layers, scene)
    frame = frame[(frame["metric"] == metric) & np.isfinite(steps_of(frame))]
    found = _previous(frame) if metric == "cka" else frame
    return found.assign(step=steps_of(found).astype(np.int64), final=is_final(found["site"], found["depth"]))


def _previous(pairs: pd.DataFrame) -> pd.DataFrame:
    """Of a subject's pairs of sites those of neighbours, named as rows of one site."""
    own = pairs[(pairs["subject_a"] == pairs["subject_b"])]
    found = [own.iloc[:0]]
    for _, rows in own.groupby("subject_a", sort=False):
        sites, _ = ordered_sites(rows, "b")
        before = dict(zip(sites[1:], sites, strict=False))
        found.append(rows[rows["site_a"] == rows["site_b"].map(before)])
    kept = pd.concat(found) if len(found) > 1 else own
    return kept.rename(columns={"subject_a": "subject", "site_b": "site", "depth_b": "depth"})


Grid = list[list[tuple[float, ...] | None]]


def map_grid(rows: pd.DataFrame) -> tuple[list[str], list[int | None], Grid]:
    """One subject's sites upwards, its steps, and (value, low, high) of each; a gap sets the final norm apart, and
    None among the steps sets initialisation apart."""
    sites = rows.sort_values(["depth", "final"], kind="stable").drop_duplicates("site")
    names = spaced(sites["site"].tolist(), bool(sites["final"].any()))
    steps: list[int | None] = [*sorted(set(rows["step"].tolist()))]
    if steps[0] == 0 and len(steps) > 1:
        steps.insert(1, None)
    found = {(site, step): tuple(cell) for site, step, *cell in values(rows, "site", "step", *ESTIMATE)}
    return names, steps, [[found.get((site, step)) for step in steps] for site in names]


def map_ticks(steps: Sequence[int | None], most: int) -> list[int]:
    """The steps named below a map: initialisation where it stands apart, and at most `most` of the others."""
    apart = 0 if None in steps else -1
    return [0] * (None in steps) + thinned([step for step in steps if step is not None and step > apart], most)


@dataclass(frozen=True, slots=True)
class Scale:
    """The colours of a map: the values at both ends, and whether they run logarithmically."""

    low: float
    high: float
    logarithmic: bool

    def place(self, values: np.ndarray) -> np.ndarray:
        """Where values lie on the scale; NaN where they have no place."""
        if not self.logarithmic:
            return values
        return np.log10(np.where(values > 0, values, np.nan))

    @property
    def ends(self) -> tuple[str, str]:
        return number(self.low, 2), number(self.high, 2) + (" (logarithmic)" if self.logarithmic else "")


def scale_of(rows: pd.DataFrame, metric: str) -> Scale:
    """One scale for all subjects and token policies: rounded outwards to tenths, cosines from 0 at the least."""
    values = rows["value"].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    if metric == "update_ratio":
        positive = values[values > 0]
        ends = (positive.min(), positive.max()) if positive.size else (0.1, 1.0)
        return Scale(float(ends[0]), float(ends[1]), True)
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    low = math.floor(low * 10 + 1e-9) / 10
    high = math.ceil(high * 10 - 1e-9) / 10
    return Scale(min(low, 0.0) if metric == "inter_token_cosine" else low, max(high, low + 0.1), False)


@dataclass(frozen=True, slots=True)
class StepAxis:
    """Training steps on a logarithmic axis, with step 0 in a place of its own to the left."""

    steps: tuple[int, ...]

    @staticmethod
    def over(steps: Iterable[int]) -> "StepAxis":
        return StepAxis(tuple(sorted(set(steps))))

    def place(self, step: int) -> float:
        return math.log10(step) if step > 0 else self._zero

    @property
    def _zero(self) -> float:
        first, last = self._ends
        return first - max(0.25, 0.1 * (last - first))

    @property
    def _ends(self) -> tuple[float, float]:
        positive = [math.log10(step) for step in self.steps if step > 0] or [0.0]
        return positive[0], positive[-1]

    @property
    def range(self) -> tuple[float, float]:
        first, last = self._ends
        left = self._zero if 0 in self.steps else first
        spare = 0.03 * max(last - left, 1.0)
        return left - spare, last + spare

    @property
    def ticks(self) -> list[int]:
        """0, and powers of ten; the measured steps themselves where they span less than two decades."""
        first, last = self._ends
        zero = [0] if 0 in self.steps else []
        if last - first < 2:
            return zero + thinned([step for step in self.steps if step > 0], 4)
        return zero + [10**power for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)]


def thinned(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` of them, evenly, always with the last."""
    every = max(1, -(-len(steps) // most))
    return list(steps[::-1][::every][::-1])
