"""What an attribution run collects on its way."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from repflow.core import SubjectFacts
from repflow.studies.jobs import Reading, Record


@dataclass
class AttributeRecord(Record):
    """A flow's record, and which subjects are draws of which."""

    draws: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Trained subject -> scheme -> the labels of its draws."""
    families: dict[str, str] = field(default_factory=dict)
    """Of the trained subjects."""

    def add_trained(self, facts: SubjectFacts) -> None:
        self.subjects.append(asdict(facts) | {"variant_of": None})
        self.draws[facts.label] = {}
        self.families[facts.label] = facts.family

    def add_draw(self, facts: SubjectFacts, scheme: str, trained: str, readings: Sequence[Reading]) -> None:
        """A draw reads what the trained subject read."""
        self.subjects.append(asdict(facts) | {"variant_of": trained})
        self.draws[trained].setdefault(scheme, []).append(facts.label)
        self.tasks += [reading.assignment.facts(facts.label, reading.examples) for reading in readings]
