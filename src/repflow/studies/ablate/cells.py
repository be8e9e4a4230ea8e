"""The numbers of one subject on one task, with their replicates: what a change is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from repflow.core import SHARES, Example, LayerRow, Origin, interval, proportion, proportion_difference
from repflow.metrics import Course, poisson_weights
from repflow.metrics.states import observe_means
from repflow.studies.ablate.changes import ALL, Change
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.flow.estimate import units_of
from repflow.studies.kit.record import Tables
from repflow.studies.kit.thirds import THIRDS
from repflow.studies.kit.units import Units
from repflow.studies.kit.units import units_of as resampled

Array = np.ndarray
Key = tuple[str, str, str, str]
"""Metric, variant, tokens and scope."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A number: the estimate and, behind it, its replicates."""

    values: Array
    """float64 [1 + B]."""
    n: int
    """Examples behind it."""
    units: int
    """What is resampled: examples of one unit count as one."""
    share: bool = False
    """A mean of numbers in [0, 1] that may all be 0 or 1, such as answers that are right or wrong."""

    def limits(self) -> tuple[float, float, float]:
        """The estimate and its interval."""
        value, replicates = self.values[0], self.values[1:]
        low, high = proportion(value, replicates, self.units) if self.share else interval(replicates, self.units)
        return float(value), float(low), float(high)

    def less(self, before: "Cell") -> tuple[float, float, float]:
        """This number less another of the same examples, and its paired interval."""
        units, n = min(before.units, self.units), min(before.n, self.n)
        if not self.share:
            return Cell(self.values - before.values, n, units).limits()
        a, b = before.values, self.values
        low, high = proportion_difference(a[0], a[1:], b[0], b[1:], units)
        return float(b[0] - a[0]), float(low), float(high)


Cells = dict[Key, Cell]


def flow_cells(tables: Tables) -> Cells:
    """Means of every metric over the blocks of each third of depth, its value behind the final norm, and path metrics.

    Sites are weighed alike; a third with an undefined site is undefined.
    """
    grouped: dict[Key, list[Cell]] = {}
    for row, replicates in zip(tables.layers, tables.layer_replicates, strict=True):
        scope = _scope(row)
        if scope:
            values = np.concatenate([[row.value], replicates])
            cell = Cell(values, row.n_examples, units_of(row), row.metric in SHARES)
            grouped.setdefault((row.metric, row.variant, row.tokens, scope), []).append(cell)
    found = {key: _mean(cells) for key, cells in grouped.items()}
    for row, replicates in zip(tables.paths, tables.path_replicates, strict=True):
        key = row.metric, row.variant, row.tokens, ALL
        found[key] = Cell(np.concatenate([[row.value], replicates]), row.n_examples, units_of(row))
    return found


def _scope(row: LayerRow) -> str:
    if row.site == "final_norm":
        return row.site
    return THIRDS[int(np.searchsorted([1 / 3, 2 / 3], row.depth))] if row.depth > 0 else ""


def _mean(cells: Sequence[Cell]) -> Cell:
    values = np.mean([cell.values for cell in cells], axis=0)
    return Cell(values, min(cell.n for cell in cells), min(cell.units for cell in cells), cells[0].share)


def ablation_rows(origin: Origin, changed: str, change: Change, before: Cells, after: Cells) -> list[AblationRow]:
    """A row for every number that is there before and after; the replicates of both are of the same weights."""
    return [
        AblationRow(
            origin.subject,
            changed,
            origin.family,
            change.what,
            change.blocks,
            origin.task,
            origin.context,
            *key,
            *before[key].limits(),
            *cell.limits(),
            *cell.less(before[key]),
            min(before[key].n, cell.n),
        )
        for key, cell in after.items()
        if key in before
    ]


def example_cell(
    values: Array, examples: Sequence[Example], seed: int, replicates: int, units: Units, share: bool = False
) -> Cell | None:
    """The mean of one number an example, [n], weighed as the flow's are; NaN is left out. None of nothing.

    `units` are those of the flow; where the numbers themselves show that units correlate more, that counts.
    """
    ids = [example.unit_id for example in examples]
    means = observe_means(torch.from_numpy(values)[None], poisson_weights(seed, ids, replicates))
    counted = [example for example, value in zip(examples, values, strict=True) if np.isfinite(value)]
    if not counted:
        return None
    course = Course(torch.tensor([example.id for example in examples]), torch.from_numpy(values).double())
    own = resampled(counted, course)
    worse = min((own, units), key=lambda found: found.effective)
    return Cell(worse.stretched(means.value()[0].numpy()), len(counted), int(worse.behind(np.int64(own.n))), share)
