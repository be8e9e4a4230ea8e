"""One subject of a dynamics run: one pass with its paths and transitions watched, then its gradients."""

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from repflow.core import ModelProblem, Origin, SubjectFacts
from repflow.engines import Job, Outcome, Progress, Reader, run_job
from repflow.metrics import Metric, Options, named
from repflow.models import Loaded, SubjectSpec
from repflow.store import RunWriter
from repflow.studies.dynamics.estimate import block_bound_rows, influence_rows, path_bound_rows, transition_rows
from repflow.studies.dynamics.influence import Influencing
from repflow.studies.dynamics.record import DynamicsRecord
from repflow.studies.dynamics.settings import DynamicsSettings
from repflow.studies.dynamics.ssm import bounds, mixers, transition_values, transitions_of
from repflow.studies.dynamics.ssm.influence import check_gradient
from repflow.studies.dynamics.ssm.paths import PathBounds
from repflow.studies.flow.measure import measured_units, read, reader_of
from repflow.studies.flow.run import load_as
from repflow.studies.kit.preflight import job_key
from repflow.studies.kit.record import Reading
from repflow.studies.kit.tasks import Assignment
from repflow.studies.kit.units import Units


@dataclass(frozen=True)
class Watching:
    """What all subjects of a run share."""

    settings: DynamicsSettings
    work: Sequence[Assignment]
    writer: RunWriter
    progress: Progress
    record: DynamicsRecord

    def subject(self, number: int, spec: SubjectSpec) -> None:
        """Load one subject and measure it on every task; the model is gone on return."""
        begun = time.perf_counter()
        self.progress.note(f"loading {spec}")
        flow = self.settings.flow()
        subject = load_as(spec, flow)
        facts = subject.facts
        self.record.subjects.append(asdict(facts))
        for warning in facts.warnings:
            self.record.warn(f"{facts.label}: {warning}")
        loaded = time.perf_counter() - begun
        readings = [read(assignment, subject.tokenizer, facts, flow, self.record) for assignment in self.work]
        reader = reader_of(subject, flow)
        asked = self._differentiable(subject, readings[0])
        forward = influence = 0.0
        for reading in readings:
            key = job_key(f"{number:02d}-{reading.assignment.key}", facts, reading.examples)
            seconds, units = self._pass(key, subject, reader, reading)
            forward += seconds
            if asked:
                influence += self._influence(key, subject, reader, reading, units)
        tokens = sum(reading.tokens for reading in readings)
        self.record.timings[facts.label] = {
            "load_s": round(loaded, 3),
            "forward_s": round(forward, 3),
            "influence_s": round(influence, 3),
            "tokens_per_s": round(tokens / max(forward, 1e-9), 1),
        }

    def _differentiable(self, subject: Loaded, reading: Reading) -> bool:
        """Whether the subject's influence is measured. Raises ModelProblem where it is the only one and cannot be."""
        if not self.settings.measure.influence_tokens:
            return False
        try:
            check_gradient(subject, reading.examples[0])
        except ModelProblem as problem:
            self._refuse(problem)
            return False
        return True

    def _refuse(self, problem: ModelProblem) -> None:
        """A subject without influence: no matter where others may have it."""
        if len(self.settings.subjects) == 1:
            raise problem
        self.progress.note(f"influence is left out: {problem}")
        self.record.refused.append(problem)

    def _pass(self, key: str, subject: Loaded, reader: Reader, reading: Reading) -> tuple[float, Units]:
        """The forward pass, its paths and transitions; returns the seconds it took, and the units it rests on."""
        facts, origin = subject.facts, _origin(subject.facts, reading)
        found = mixers(subject)
        if not found:
            line = f"{facts.label} has no state-space block whose transitions can be read; they are left out"
            self.progress.note(line)
            self.record.warn(line)
        self.progress.begin(f"{facts.label} on {reading.assignment.title}", len(reading.examples))
        with ExitStack() as stack:
            watched: list[Metric] = [PathBounds(), *named(["headline"])]
            if found:
                watched.append(stack.enter_context(transitions_of(subject, found)))
            job = self._job(key, reader, reading, watched)
            outcome = run_job(reader, job, self.writer, self.progress)
        self._say_stopped(facts, reader, reading, outcome)
        units = measured_units(reader, job, outcome)
        self.record.take_units(facts, reading, units)
        policies = self.settings.measure.tokens
        self.record.bounds += path_bound_rows(origin, outcome.states["path_bounds"], policies, units)
        if found:
            state = outcome.states["transitions"]
            values = transition_values(state)
            self.record.transitions += transition_rows(origin, found, values, state, units)
            self.record.bounds += block_bound_rows(origin, bounds(state, found))
        return outcome.clock.forward + outcome.clock.metrics, units

    def _job(self, key: str, reader: Reader, reading: Reading, watched: Sequence[Metric]) -> Job:
        chosen, examples = self.settings.measure, reading.examples
        options = Options(policies=chosen.tokens, replicates=chosen.replicates, seed=chosen.seed)
        shard = max(1, math.ceil(len(examples) / 16), reader.batch_tokens // reading.longest)
        return Job(key, examples, (), tuple(watched), options, self.settings.output.shard or shard)

    def _influence(self, key: str, subject: Loaded, reader: Reader, reading: Reading, units: Units) -> float:
        """The gradients; returns the seconds they took."""
        chosen = self.settings.measure
        influencing = Influencing(key, subject, reader, reading, chosen, self.writer, self.progress, self.record.warn)
        try:
            squares = influencing.squares()
        except ModelProblem as problem:
            self._refuse(problem)
            return influencing.seconds
        origin, examples = _origin(subject.facts, reading), reading.examples
        rows, recency = influence_rows(origin, squares, influencing.counts, examples, chosen, units)
        self.record.influence += rows
        self.record.recency.append(recency)
        return influencing.seconds

    def _say_stopped(self, facts: SubjectFacts, reader: Reader, reading: Reading, outcome: Outcome) -> None:
        for example, site in outcome.states["counts"].stopped:
            where = f"{facts.label}, {reading.assignment.title}"
            self.record.warn(f"{where}: example {example} left out, non-finite at {reader.sites[site].name}")


def _origin(facts: SubjectFacts, reading: Reading) -> Origin:
    return Origin(facts.label, facts.family, facts.init, reading.assignment.task.name, reading.assignment.context)
