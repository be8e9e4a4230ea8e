"""flow: how representations run through the depth of one or more models, in one streaming pass each."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from repflow.core import ContextTooLong, Example, Interrupted, ModelProblem, NotEnoughData, Origin, Site, SubjectFacts
from repflow.engines import Clock, Job, Outcome, Progress, Reader, run_job
from repflow.metrics import DEFAULT, Options, measurable, named
from repflow.metrics.example_rows import BLOCK
from repflow.metrics.token_cka import MIN_ROWS
from repflow.models import Loaded, SubjectSpec, environment_facts, load
from repflow.store import RunWriter
from repflow.studies._cross import Measured, cross_tables
from repflow.studies._preflight import job_key, subject_specs
from repflow.studies._progress import Silent
from repflow.studies._rows import Tables, tables_of
from repflow.studies._tasks import Assignment, assignments
from repflow.studies.run import Run
from repflow.studies.settings import FREE, FlowSettings, flat

CPU_BATCH_TOKENS = 2_048
GPU_BATCH_TOKENS = 16_384
FEW = 30
"""Below this many examples a run says that its intervals are rough."""


@dataclass
class _Record:
    """What a run collects on its way."""

    tables: Tables = field(default_factory=Tables)
    subjects: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)

    def warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)


def run_flow(settings: FlowSettings, progress: Progress | None = None) -> Run:
    """Measure every subject on every task and context; write and open the run directory.

    Raises a CallerError for what the caller can mend. Interrupted, killed or failed, the run's finished shards stay
    in the directory, and the same settings with `resume` finish it.
    """
    progress = progress or Silent()
    specs = subject_specs(settings.subjects)
    work = assignments(settings.task)
    directory = settings.output.out or Path("runs") / f"flow-{datetime.now():%Y%m%d-%H%M%S}"
    writer = RunWriter.create(
        directory,
        {name: value for name, value in flat(settings).items() if name not in ("out", "resume", "overwrite")},
        "flow",
        resume=settings.output.resume,
        overwrite=settings.output.overwrite,
        free=FREE,
    )
    with writer:
        if writer.finished:
            progress.note(f"{directory} holds this run, finished; nothing to measure")
        else:
            try:
                _measure(specs, work, settings, writer, progress)
            except KeyboardInterrupt as stop:
                raise Interrupted(f"interrupted; what is measured stays in {directory}", str(directory)) from stop
    return Run.load(directory)


def _measure(
    specs: Sequence[SubjectSpec],
    work: Sequence[Assignment],
    settings: FlowSettings,
    writer: RunWriter,
    progress: Progress,
) -> None:
    started = time.perf_counter()
    record = _Record()
    for number, spec in enumerate(specs):
        _subject(number, spec, work, settings, writer, progress, record)
    record.tables.extend(cross_tables(record.measured, settings.measure, record.warn, progress))
    info = {
        "subjects": record.subjects,
        "tasks": record.tasks,
        "versions": environment_facts(),
        "seed": settings.measure.seed,
        "timings": record.timings | {"total_s": round(time.perf_counter() - started, 3)},
        "warnings": record.warnings,
    }
    tables = record.tables
    writer.finish(tables.layers, tables.pairs, tables.paths, info, replicates=tables.replicates())


def _subject(
    number: int,
    spec: SubjectSpec,
    work: Sequence[Assignment],
    settings: FlowSettings,
    writer: RunWriter,
    progress: Progress,
    record: _Record,
) -> None:
    """Load one subject and run all its tasks; the model is gone on return."""
    begun = time.perf_counter()
    progress.note(f"loading {spec}")
    subject = load(
        spec,
        dtype=settings.model.dtype,
        device=settings.model.device,
        trust_remote_code=settings.model.trust_remote_code,
        seed=settings.measure.seed,
        blocks=settings.model.blocks,
        final_norm=settings.model.final_norm,
    )
    facts = subject.facts
    loaded = time.perf_counter() - begun
    record.subjects.append(asdict(facts))
    reader = _reader(subject, settings)
    clock, tokens = Clock(), 0
    for assignment in work:
        job = _job(f"{number:02d}-{assignment.key}", subject, reader, assignment, settings, record)
        progress.begin(f"{facts.label} on {assignment.title}", len(job.examples))
        outcome = run_job(reader, job, writer, progress)
        states = outcome.states
        clock += outcome.clock
        tokens += sum(len(example.ids) for example in job.examples)
        origin = Origin(facts.label, facts.family, facts.init, assignment.task.name, assignment.context)
        record.tables.extend(tables_of(origin, reader.sites, job.metrics, states, job.options))
        _take_warnings(facts, assignment, reader.sites, outcome, record)
        record.measured.append(Measured.of(origin, facts, reader.sites, job.examples, states))
    record.timings[facts.label] = {
        "load_s": round(loaded, 3),
        "forward_s": round(clock.forward, 3),
        "metrics_s": round(clock.metrics, 3),
        "calibration_s": round(clock.calibration, 3),
        "tokens_per_s": round(tokens / max(clock.forward + clock.metrics, 1e-9), 1),
    }


def _reader(subject: Loaded, settings: FlowSettings) -> Reader:
    taps = subject.taps
    if settings.measure.sites == "hf":
        if not subject.hf_taps:
            raise ModelProblem(
                f"{subject.facts.label}: --sites hf cannot be had, {subject.hf_reason}; use --sites residual"
            )
        taps = subject.hf_taps
    default = CPU_BATCH_TOKENS if subject.device.type == "cpu" else GPU_BATCH_TOKENS
    return Reader(
        label=subject.facts.label,
        model=subject.model,
        forward=subject.forward,
        taps=taps,
        special_ids=tuple(subject.tokenizer.all_special_ids),
        device=subject.device,
        batch_tokens=settings.model.batch_tokens or default,
    )


def _job(
    key: str, subject: Loaded, reader: Reader, assignment: Assignment, settings: FlowSettings, record: _Record
) -> Job:
    """The examples of one assignment, checked, and what is measured on them."""
    wanted, spare = settings.task.examples, settings.measure.calibration
    built = assignment.build(subject.tokenizer, wanted + spare, settings.measure.seed)
    examples, calibration = built[:wanted], built[wanted:]
    facts, title = subject.facts, assignment.title
    if len(examples) < wanted:
        record.warn(f"{facts.label}, {title}: the data gives {len(examples)} examples, {wanted} were asked for")
    if len(calibration) < min(spare, 2):
        calibration = []
        record.warn(
            f"{facts.label}, {title}: no examples left to calibrate on, so the standardised variants are left out; "
            f"give more text or lower --examples to {max(1, len(built) - spare)}"
        )
    elif len(calibration) < spare:
        record.warn(f"{facts.label}, {title}: {len(calibration)} examples to calibrate on, {spare} were asked for")
    if settings.measure.sites == "hf":
        record.warn("read from Hugging Face's list of hidden states, for parity only: families leave out other ends")
    if len(examples) < FEW:
        record.warn(f"{len(examples)} examples make rough intervals; {FEW} or more make good ones")
    _check_length(facts, built, settings.model.allow_extrapolation, record)
    _check_enough(settings, examples, title)
    record.tasks.append(assignment.facts(facts.label, examples))
    options = Options(
        policies=settings.measure.tokens,
        sink_factor=settings.measure.sink_factor,
        gram_rows=settings.measure.gram_tokens,
        replicates=settings.measure.replicates,
        seed=settings.measure.seed,
    )
    names = measurable(settings.measure.metrics) or DEFAULT
    between = len(settings.subjects) > 1 and settings.measure.permutations and {"token_cka", "example_cka"} & {*names}
    if between:
        names = (*names, "token_grams", "example_cka")
    per_batch = reader.batch_tokens // max(len(example.ids) for example in built)
    shard = settings.output.shard or max(1, math.ceil(len(examples) / 16), per_batch)
    key = job_key(key, facts, built)
    return Job(key, tuple(examples), tuple(calibration), named(names), options, shard)


def _check_length(facts: SubjectFacts, examples: Sequence[Example], allowed: bool, record: _Record) -> None:
    longest = max(len(example.ids) for example in examples)
    if facts.max_positions is None or longest <= facts.max_positions:
        return
    if not allowed:
        raise ContextTooLong(
            f"{facts.label} was trained on {facts.max_positions} positions, the longest example has {longest} tokens; "
            "lower --context, or pass --allow-extrapolation"
        )
    record.warn(f"{facts.label}: read {longest} tokens where it was trained on {facts.max_positions}")


def _check_enough(settings: FlowSettings, examples: Sequence[Example], title: str) -> None:
    if "example_cka" in settings.measure.metrics and len(examples) < 4:
        raise NotEnoughData(f"{title}: example_cka needs at least 4 examples, has {len(examples)}; raise --examples")
    if "token_cka" in settings.measure.metrics and max(len(example.ids) for example in examples) < 4:
        raise NotEnoughData(f"{title}: token_cka needs examples of at least 4 tokens; raise --context")


def _take_warnings(
    facts: SubjectFacts, assignment: Assignment, sites: Sequence[Site], outcome: Outcome, record: _Record
) -> None:
    where, states = f"{facts.label}, {assignment.title}", outcome.states
    for example in outcome.uncalibrated:
        record.warn(f"{where}: calibration example {example} left out, its states are not finite")
    for example, site in states["counts"].stopped:
        record.warn(f"{where}: example {example} left out, non-finite at {sites[site].name}")
    if "token_cka" in states and int(states["token_cka"].skipped.max()):
        record.warn(f"{where}: token CKA leaves out {int(states['token_cka'].skipped.max())} examples of < 4 tokens")
    if "example_cka" in states and states["counts"].examples < MIN_ROWS:
        record.warn(f"example CKA needs at least {MIN_ROWS} examples and is left out")
    elif "example_cka" in states and states["counts"].examples < 2 * BLOCK:
        record.warn(f"example CKA has an interval from {2 * BLOCK} examples on; its values here have none")
