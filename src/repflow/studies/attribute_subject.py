"""One subject of an attribution run: loaded once, measured as trained, then with its weights drawn anew in place."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from torch import Tensor

from repflow.core import BadFile, ModelProblem, SubjectFacts
from repflow.engines import Clock, Progress, Reader
from repflow.models import Init, Loaded, SubjectSpec, ablated, reinitialised
from repflow.store import RunWriter
from repflow.studies._progress import told_time
from repflow.studies._tasks import Assignment
from repflow.studies.attribute_record import AttributeRecord
from repflow.studies.attribute_settings import AttributeSettings
from repflow.studies.flow import load_as
from repflow.studies.jobs import Reading, measure, read, reader_of


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
        for init in self.settings.attribution.inits:
            spent += self._draw(trained, bare, spec, init)
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

    def _measure(self, reader: Reader, facts: SubjectFacts, number: int, reading: Reading) -> Clock:
        key = f"{number:02d}-{facts.init}-{reading.assignment.key}"
        flow = self.settings.flow()
        return measure(key, reader, facts, reading, flow, self.writer, self.progress, self.record)

    def _estimate(self, label: str, once: Clock) -> None:
        asked = self.settings.attribution
        count, seconds = len(asked.inits), once.forward + once.metrics + once.calibration
        self.progress.note(
            f"{label}: about {told_time(count * seconds)} for {count} draws ({len(asked.schemes)} schemes, "
            f"{asked.seeds} seeds), judged by the trained weights, besides drawing them"
        )

    def _draw(self, trained: "Trained", bare: Loaded, spec: SubjectSpec, init: Init) -> Clock:
        """One draw, measured; or read from the checkpoint, without drawing it, when it was measured whole."""
        key = f"{trained.number:02d}-{init}-drawn-{bare.facts.weights_sha256[:12]}"
        done = self.writer.read_part(key)
        if done is not None:
            facts = _facts(done[1])
            return self._read_draw(trained, replace(trained.reader, forward=_gone(facts.label)), facts, init)[0]
        with reinitialised(bare, init) as fresh, _changed(fresh, spec) as subject:
            facts = subject.facts
            spent, whole = self._read_draw(trained, reader_of(subject, self.settings.flow()), facts, init)
        if whole:
            self.writer.save_part(key, {}, asdict(facts))
        return spent

    def _read_draw(self, trained: "Trained", reader: Reader, facts: SubjectFacts, init: Init) -> tuple[Clock, bool]:
        """What a draw took, and whether it could be measured on all tasks; where not, that is a warning."""
        self.record.add_draw(facts, init.scheme, trained.facts.label, trained.readings)
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
    return SubjectFacts(**{f.name: _tuple(kept[f.name]) for f in fields(SubjectFacts)})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _gone(label: str) -> Any:
    """In place of the forward pass of a draw whose states are all in the checkpoint."""

    def refuse(ids: Tensor) -> None:
        del ids
        raise BadFile(f"{label}: a checkpoint part is broken or missing; run again with --overwrite")

    return refuse
