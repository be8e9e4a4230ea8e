"""What an attribution run collects on its way."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from repflow.core import ModelProblem, SubjectFacts
from repflow.studies.attribute.estimate import Group
from repflow.studies.kit.record import Reading, Record


@dataclass
class AttributeRecord(Record):
    """A flow's record, and which subjects are draws of which."""

    trained: list[SubjectFacts] = field(default_factory=list[SubjectFacts])
    draws: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Trained subject -> scheme -> the labels of its draws."""
    refused: dict[str, dict[str, ModelProblem]] = field(default_factory=dict)
    """Scheme -> trained subject -> why its weights cannot be drawn so."""

    def add_trained(self, facts: SubjectFacts) -> None:
        self.subjects.append(asdict(facts) | {"variant_of": None})
        self.trained.append(facts)
        self.draws[facts.label] = {}

    def add_draw(self, facts: SubjectFacts, scheme: str, trained: SubjectFacts, readings: Sequence[Reading]) -> None:
        """A draw reads what the trained subject read. One that is the subject itself tells nothing, and counts not."""
        self.subjects.append(asdict(facts) | {"variant_of": trained.label})
        self.tasks += [reading.assignment.facts(facts.label, reading.examples) for reading in readings]
        if facts.weights_sha256 == trained.weights_sha256:
            self.warn(f"{facts.label} is {trained.label} itself and counts for no share")
            return
        self.draws[trained.label].setdefault(scheme, []).append(facts.label)

    def refuse(self, scheme: str, trained: str, problem: ModelProblem) -> None:
        self.refused.setdefault(scheme, {})[trained] = problem

    def settle(self) -> None:
        """Say what could not be drawn. Raises ModelProblem for a scheme that no subject can have."""
        for problems in self.refused.values():
            if len(problems) == len(self.trained):
                raise next(iter(problems.values()))
            for label, problem in problems.items():
                self.warn(f"{label}: {problem}; left out")

    def groups(self, pooled: bool) -> list[Group]:
        """Every subject with its draws; the pool of all, trainings of one architecture, first."""
        alone = [Group(facts.label, facts.family, (facts.label,), self.draws[facts.label]) for facts in self.trained]
        if not pooled:
            return alone
        labels = tuple(facts.label for facts in self.trained)
        common = {s: d for s, d in alone[0].draws.items() if all(each.draws.get(s) == d for each in alone)}
        return [Group(f"all {len(labels)} trainings", self.trained[0].family, labels, common), *alone]
