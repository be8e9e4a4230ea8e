"""What a dynamics run collects on its way, and writes at its end."""

from dataclasses import dataclass, field

from repflow.core import ModelProblem
from repflow.store import RunWriter
from repflow.studies.dynamics.rows import BoundRow, InfluenceRow, RecencyRow, TransitionRow
from repflow.studies.kit.record import Record


@dataclass
class DynamicsRecord(Record):
    """The record of a flow run, with the rows of its dynamics."""

    transitions: list[TransitionRow] = field(default_factory=list[TransitionRow])
    influence: list[InfluenceRow] = field(default_factory=list[InfluenceRow])
    recency: list[RecencyRow] = field(default_factory=list[RecencyRow])
    bounds: list[BoundRow] = field(default_factory=list[BoundRow])
    refused: list[ModelProblem] = field(default_factory=list[ModelProblem])
    """Why subjects have no influence, where it was asked for."""

    def settle(self) -> None:
        """Say which subjects have no influence. Raises the first's ModelProblem where none has."""
        if self.refused and not self.influence:
            raise self.refused[0]
        for problem in self.refused:
            self.warn(f"influence is left out: {problem}")

    def write(self, writer: RunWriter) -> None:
        """Write the tables; those of what was not measured are empty."""
        writer.write_table("transitions", self.transitions, TransitionRow)
        writer.write_table("influence", self.influence, InfluenceRow)
        writer.write_table("recency", self.recency, RecencyRow)
        writer.write_table("bounds", self.bounds, BoundRow)
