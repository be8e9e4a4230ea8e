"""What an ablation run collects on its way."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from repflow.core import NonFinite, Origin, SubjectFacts
from repflow.studies.ablate.cells import Cells, ablation_rows
from repflow.studies.ablate.changes import Change
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.kit.record import Reading, Record


@dataclass(frozen=True)
class Measured:
    """One subject on one task: its rows, and the numbers that a change is judged by."""

    record: Record
    cells: Cells


@dataclass
class AblateRecord(Record):
    """The record of a flow run, with the rows that set each change beside the model without it."""

    ablations: list[AblationRow] = field(default_factory=list[AblationRow])
    broken: list[NonFinite] = field(default_factory=list[NonFinite])
    """Changes left out because they make the model's states non-finite."""

    def subject(self, facts: SubjectFacts, variant_of: str | None, readings: Sequence[Reading]) -> None:
        """A subject as it is, or with a change made in the one named."""
        self.subjects.append(asdict(facts) | {"variant_of": variant_of})
        if variant_of is not None:
            self.tasks += [reading.assignment.facts(facts.label, reading.examples) for reading in readings]
        for warning in facts.warnings:
            self.warn(f"{facts.label}: {warning}")

    def compare(
        self, base: SubjectFacts, changed: str, change: Change, reading: Reading, before: Cells, after: Cells
    ) -> None:
        """Set one change beside the model without it, on one task."""
        assignment = reading.assignment
        origin = Origin(base.label, base.family, base.init, assignment.task.name, assignment.context)
        self.ablations += ablation_rows(origin, changed, change, before, after)

    def take(self, measured: Sequence[Measured]) -> None:
        """Take in the rows and warnings of a subject's tasks."""
        for each in measured:
            self.tables.extend(each.record.tables)
            self.units |= each.record.units
            for line in each.record.warnings:
                self.warn(line)

    def settle(self) -> None:
        """Say what has been left out. Raises NonFinite, the first, where no change is left."""
        if self.broken and not self.ablations:
            raise self.broken[0]
        for error in self.broken:
            self.warn(str(error))
