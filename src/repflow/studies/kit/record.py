"""What a run reads and collects on its way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from repflow.core import Example, LayerRow, PairRow, PathRow, SubjectFacts, values_of
from repflow.studies.kit.tasks import Assignment
from repflow.studies.kit.units import Units, units_of

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


@dataclass
class Tables:
    """Rows of one run, with the bootstrap replicates of those that can be compared between runs."""

    layers: list[LayerRow] = field(default_factory=list)
    pairs: list[PairRow] = field(default_factory=list)
    paths: list[PathRow] = field(default_factory=list)
    layer_replicates: list[Array] = field(default_factory=list)
    path_replicates: list[Array] = field(default_factory=list)

    def extend(self, other: "Tables") -> None:
        self.layers += other.layers
        self.pairs += other.pairs
        self.paths += other.paths
        self.layer_replicates += other.layer_replicates
        self.path_replicates += other.path_replicates

    def replicates(self) -> dict[str, Array]:
        """[rows, B] float32 by table."""
        kept = {"layers": self.layer_replicates, "paths": self.path_replicates}
        return {name: np.stack(rows).astype(np.float32) for name, rows in kept.items() if rows}


def table_of(rows: Sequence[Any], kind: type) -> "pd.DataFrame":
    """Rows as a frame, with its columns where there is none."""
    import pandas as pd

    return pd.DataFrame(values_of(rows, kind), columns=pd.Index([each.name for each in fields(kind)]))


class Where(NamedTuple):
    """Whose measurement on what."""

    subject: str
    task: str
    context: int


@dataclass
class Record:
    """What a run collects on its way."""

    tables: Tables = field(default_factory=Tables)
    subjects: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    measured: list[Any] = field(default_factory=list)
    """What comparing the subjects with each other needs of each."""
    units: dict[Where, dict[str, Any]] = field(default_factory=dict)
    """Facts of the units that were measured."""

    def warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)

    def take_units(self, facts: SubjectFacts, reading: "Reading", units: Units) -> None:
        """Note the units of what was measured; warn where they are worth less than they seemed before."""
        where = Where(facts.label, reading.assignment.task.name, reading.assignment.context)
        self.units[where] = units.facts()
        if units.effective < reading.units.effective - 0.5:
            units.warn(self.warn, f"{facts.label}, {reading.assignment.title}")

    def settled_tasks(self) -> list[dict[str, Any]]:
        """The tasks' facts, with what measuring has told of their units."""
        return [with_units(task, self.units) for task in self.tasks]


def with_units(task: dict[str, Any], known: Mapping[Where, dict[str, Any]]) -> dict[str, Any]:
    """A task's facts with its units as they were measured, where they were."""
    found = known.get(Where(task["subject"], task["name"], task["context"]))
    return task if found is None else task | {"units": found}


@dataclass(frozen=True)
class Reading:
    """What one subject reads of a task: the examples it is measured on, and those that calibrate."""

    assignment: Assignment
    examples: tuple[Example, ...]
    calibration: tuple[Example, ...]

    @property
    def tokens(self) -> int:
        """Of the examples it is measured on."""
        return sum(len(example.ids) for example in self.examples)

    @property
    def units(self) -> Units:
        """The resampling units of the examples."""
        return units_of(self.examples)

    @property
    def longest(self) -> int:
        return max(len(example.ids) for example in (*self.examples, *self.calibration))
