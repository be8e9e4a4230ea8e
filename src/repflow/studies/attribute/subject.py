"""One subject of an attribution run: loaded once, measured as trained, then with its weights drawn anew in place."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from torch import Tensor

from repflow.core import BadFile, Example, ModelProblem, SubjectFacts
from repflow.engines import Clock, Progress, Reader
from repflow.models import Init, Loaded, SubjectSpec, ablated, reinitialised
from repflow.store import RunWriter
from repflow.studies.attribute.matching import Scale, matched
from repflow.studies.attribute.record import AttributeRecord
from repflow.studies.attribute.settings import AttributeSettings
from repflow.studies.attribute.verdict import CONTROL, MATCHED
from repflow.studies.flow.measure import measure, read, reader_of
from repflow.studies.flow.run import load_as
from repflow.studies.kit.progress import told_time
from repflow.studies.kit.record import Reading
from repflow.studies.kit.tasks import Assignment


@dataclass(frozen=True)
class Attributing:
    """What all subjects of a run share."""

    settings: AttributeSettings
    work: Sequence[Assignment]
    writer: RunWriter
    progress: Progress
    record: AttributeRecord

    def subject(self, number: int, spec: SubjectSpec) -> None:
        """Load one subject and measure it as trained and as drawn; the model is gone on return."""
        begun = time.perf_counter()
        self.progress.note(f"loading {spec}")
        bare = load_as(replace(spec, ablations=()), self.settings.flow())
        loaded = time.perf_counter() - begun
        trained, spent = self._trained(number, bare, spec)
        self._estimate(spec.label, spent)
        spent += self._draws(trained, bare, spec)
        self.record.timings[spec.label] = {
            "load_s": round(loaded, 3),
            "forward_s": round(spent.forward, 3),
            "metrics_s": round(spent.metrics, 3),
            "calibration_s": round(spent.calibration, 3),
        }

    def _trained(self, number: int, bare: Loaded, spec: SubjectSpec) -> "tuple[Trained, Clock]":
        flow = self.settings.flow()
        with _changed(bare, spec) as subject:
            facts = subject.facts
            self.record.add_trained(facts)
            readings = [read(each, subject.tokenizer, facts, flow, self.record) for each in self.work]
            trained = Trained(number, facts, reader_of(subject, flow), readings)
            spent = sum((self._measure(trained.reader, facts, number, each) for each in readings), Clock())
        return trained, spent

    def _draws(self, trained: "Trained", bare: Loaded, spec: SubjectSpec) -> Clock:
        """Every draw, measured; a scheme that the subject cannot have is left at its first."""
        label, spent, scale = trained.facts.label, Clock(), None
        taken = self._taken(label)
        self.record.draws[label] |= taken
        for init in self.settings.attribution.inits:
            if init.name in taken or label in self.record.refused.get(init.name, {}):
                continue
            if init.matched and scale is None:
                scale = Scale.of(bare, trained.spare)
            spent += self._draw(trained, bare, spec, init, scale)
        return spent

    def _taken(self, label: str) -> dict[str, list[str]]:
        """By scheme, the draws of the first training that are this one's too: those that ask nothing of its values."""
        asked, first = self.settings.attribution, self.record.trained[0].label
        if not asked.same_architecture or asked.keep or label == first:
            return {}
        return {s: d for s, d in self.record.draws[first].items() if s != CONTROL and not s.endswith(MATCHED)}

    def _measure(self, reader: Reader, facts: SubjectFacts, number: int, reading: Reading) -> Clock:
        key = f"{number:02d}-{facts.init}-{reading.assignment.key}"
        flow = self.settings.flow()
        return measure(key, reader, facts, reading, flow, self.writer, self.progress, self.record)

    def _estimate(self, label: str, once: Clock) -> None:
        asked = self.settings.attribution
        count, seconds = len(asked.inits), once.forward + once.metrics + once.calibration
        scaled = ", those at the trained scale among them" if any(init.matched for init in asked.inits) else ""
        self.progress.note(
            f"{label}: about {told_time(count * seconds)} for {count} draws ({len(asked.schemes)} schemes, "
            f"{asked.seeds} seeds{scaled}), judged by the trained weights, besides drawing them"
        )

    def _draw(self, trained: "Trained", bare: Loaded, spec: SubjectSpec, init: Init, scale: Scale | None) -> Clock:
        """One draw, measured; or read from the checkpoint, without drawing it, when it was measured whole."""
        key = f"{trained.number:02d}-{init}-drawn-{bare.facts.weights_sha256[:12]}"
        done = self.writer.read_part(key)
        if done is not None:
            facts = _facts(done[1])
            return self._read_draw(trained, replace(trained.reader, forward=_gone(facts.label)), facts, init)[0]
        with ExitStack() as stack:
            try:
                fresh = stack.enter_context(reinitialised(bare, init))
            except ModelProblem as problem:
                self._refuse(trained, init, problem)
                return Clock()
            if init.matched and scale is not None:
                fresh = matched(fresh, scale)
            subject = stack.enter_context(_changed(fresh, spec))
            facts = subject.facts
            spent, whole = self._read_draw(trained, reader_of(subject, self.settings.flow()), facts, init)
        if whole:
            self.writer.save_part(key, {}, asdict(facts))
        return spent

    def _refuse(self, trained: "Trained", init: Init, problem: ModelProblem) -> None:
        """A scheme that the subject cannot have: no matter where others can."""
        if len(self.settings.subjects) == 1:
            raise problem
        self.record.refuse(init.name, trained.facts.label, problem)

    def _read_draw(self, trained: "Trained", reader: Reader, facts: SubjectFacts, init: Init) -> tuple[Clock, bool]:
        """What a draw took, and whether it could be measured on all tasks; where not, that is a warning."""
        self.record.add_draw(facts, init.name, trained.facts, trained.readings)
        spent, whole = Clock(), True
        for reading in trained.readings:
            try:
                spent += self._measure(reader, facts, trained.number, reading)
            except ModelProblem as problem:
                self.record.warn(f"{problem}; left out on {reading.assignment.title}")
                whole = False
        return spent, whole


@dataclass(frozen=True)
class Trained:
    """The subject as trained: what its draws are read with."""

    number: int
    """Its place among the subjects."""
    facts: SubjectFacts
    reader: Reader
    readings: Sequence[Reading]

    @property
    def spare(self) -> Sequence[Example]:
        """What tells a scale: examples that are not measured, where there are such."""
        return self.readings[0].calibration or self.readings[0].examples


@contextmanager
def _changed(subject: Loaded, spec: SubjectSpec) -> Iterator[Loaded]:
    """The subject with the spec's interventions, where it has any."""
    if not spec.ablations:
        yield subject
        return
    with ablated(subject, spec.ablations) as changed:
        yield changed


def _facts(kept: dict[str, Any]) -> SubjectFacts:
    """From the checkpoint, where tuples became lists."""
    return SubjectFacts(**{f.name: _tuple(kept[f.name]) for f in fields(SubjectFacts) if f.name in kept})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _gone(label: str) -> Any:
    """In place of the forward pass of a draw whose states are all in the checkpoint."""

    def refuse(ids: Tensor) -> None:
        del ids
        raise BadFile(f"{label}: a checkpoint part is broken or missing; run again with --overwrite")

    return refuse
