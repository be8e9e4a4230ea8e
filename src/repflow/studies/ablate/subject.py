"""One subject of an ablation run: measured as it is, then with each change made and undone."""

from collections.abc import Sequence
from dataclasses import dataclass

from repflow.core import NonFinite
from repflow.engines import Clock, Progress
from repflow.models import Loaded, ablated
from repflow.store import RunWriter
from repflow.studies.ablate.cells import Cells, example_cell, flow_cells
from repflow.studies.ablate.changes import Change
from repflow.studies.ablate.record import AblateRecord, Measured
from repflow.studies.ablate.scores import ACCURACY, Score, Scoring
from repflow.studies.ablate.settings import AblateSettings
from repflow.studies.flow.measure import measure, read, reader_of
from repflow.studies.kit.preflight import job_key
from repflow.studies.kit.progress import told_time
from repflow.studies.kit.record import Reading, Record
from repflow.studies.kit.tasks import Assignment
from repflow.studies.kit.units import Units


@dataclass
class Spent:
    """Seconds spent on one subject, its changes included."""

    clock: Clock
    scores: float = 0.0
    tokens: int = 0

    @property
    def total(self) -> float:
        return self.clock.forward + self.clock.metrics + self.clock.calibration + self.scores


@dataclass(frozen=True)
class Ablating:
    """What all subjects of a run share."""

    settings: AblateSettings
    work: Sequence[Assignment]
    writer: RunWriter
    progress: Progress
    record: AblateRecord

    def subject(self, number: int, subject: Loaded, changes: Sequence[Change], seconds_to_load: float) -> None:
        """Measure a loaded subject and each of its changes; what a change breaks is left out, with a warning."""
        facts, flow = subject.facts, self.settings.flow()
        readings = [read(assignment, subject.tokenizer, facts, flow, self.record) for assignment in self.work]
        self.record.subject(facts, None, readings)
        spent = Spent(Clock())
        before = [self._measured(f"{number:02d}-base", subject, reading, spent) for reading in readings]
        self.record.take(before)
        if changes:
            count = f"{len(changes)} change{'s' if len(changes) > 1 else ''}"
            self.progress.note(f"{facts.label}: {count} to measure, about {told_time(len(changes) * spent.total)}")
        for place, change in enumerate(changes):
            try:
                self._change(f"{number:02d}-{place:03d}", subject, change, readings, before, spent)
            except NonFinite as error:
                self.record.broken.append(error)
        self.record.timings[facts.label] = {
            "load_s": round(seconds_to_load, 3),
            "forward_s": round(spent.clock.forward, 3),
            "metrics_s": round(spent.clock.metrics, 3),
            "calibration_s": round(spent.clock.calibration, 3),
            "scores_s": round(spent.scores, 3),
            "tokens_per_s": round(spent.tokens / max(spent.clock.forward + spent.clock.metrics, 1e-9), 1),
        }

    def _change(
        self,
        key: str,
        subject: Loaded,
        change: Change,
        readings: Sequence[Reading],
        before: Sequence[Measured],
        spent: Spent,
    ) -> None:
        """One change, made, measured on every task and undone. Raises NonFinite."""
        with ablated(subject, change.ablations) as changed:
            label = changed.facts.label
            after = [self._measured(key, changed, reading, spent) for reading in readings]
        self.record.subject(changed.facts, subject.facts.label, readings)
        self.record.take(after)
        for reading, was, now in zip(readings, before, after, strict=True):
            self.record.compare(subject.facts, label, change, reading, was.cells, now.cells)

    def _measured(self, key: str, subject: Loaded, reading: Reading, spent: Spent) -> Measured:
        """A subject on one task."""
        flow, facts, found = self.settings.flow(), subject.facts, Record()
        reader = reader_of(subject, flow)
        name = f"{key}-{reading.assignment.key}"
        spent.clock += measure(name, reader, facts, reading, flow, self.writer, self.progress, found)
        scoring = Scoring(job_key(name, facts, reading.examples), reader, reading, self.writer, self.progress)
        score = self._score(subject, scoring)
        spent.tokens += reading.tokens
        cells = flow_cells(found.tables)
        if score is not None:
            spent.scores += score.seconds
            cells |= self._cell(score, reading, found.measured[-1].units)
        return Measured(found, cells)

    def _score(self, subject: Loaded, scoring: Scoring) -> Score | None:
        """The loss on running text, the answers to prompts that have one."""
        if scoring.reading.assignment.task.name == "text":
            return scoring.loss()
        chosen = self.settings.measure
        return scoring.accuracy(subject, chosen.new_tokens, self.record.warn) if chosen.generate else None

    def _cell(self, score: Score, reading: Reading, units: Units) -> Cells:
        chosen = self.settings.measure
        share = score.metric == ACCURACY
        cell = example_cell(score.values, reading.examples, chosen.seed, chosen.replicates, units, share)
        return {} if cell is None else {(score.metric, score.variant, "all", "all"): cell}
