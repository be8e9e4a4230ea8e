"""flow: how representations run through the depth of one or more models, in one streaming pass each."""

import time
from collections.abc import Sequence
from dataclasses import asdict

from repflow.core import LayerRow, PairRow
from repflow.engines import Clock, Progress
from repflow.models import Loaded, SubjectSpec, load
from repflow.store import Run, RunWriter
from repflow.studies.flow.cross import cross_tables
from repflow.studies.flow.findings import flow_findings
from repflow.studies.flow.measure import measure, options_of, read, reader_of
from repflow.studies.flow.rows import TokenRow
from repflow.studies.flow.tokens import token_rows
from repflow.studies.kit.fields import flat
from repflow.studies.kit.preflight import subject_specs
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.record import Record, table_of
from repflow.studies.kit.session import run_info, written
from repflow.studies.kit.settings import FlowSettings
from repflow.studies.kit.tasks import Assignment, assignments


def run_flow(settings: FlowSettings, progress: Progress | None = None) -> Run:
    """Measure every subject on every task and context; write and open the run directory.

    Raises a CallerError for what the caller can mend. Interrupted, killed or failed, the run's finished shards stay
    in the directory, and the same settings with `resume` finish it.
    """
    progress = progress or Silent()
    specs = subject_specs(settings.subjects)
    work = assignments(settings.task)

    def measure(writer: RunWriter) -> None:
        _measure(specs, work, settings, writer, progress)

    return written("flow", flat(settings), settings.output, progress, measure)


def _measure(
    specs: Sequence[SubjectSpec],
    work: Sequence[Assignment],
    settings: FlowSettings,
    writer: RunWriter,
    progress: Progress,
) -> None:
    started = time.perf_counter()
    record, shown = Record(), list[TokenRow]()
    for number, spec in enumerate(specs):
        _subject(number, spec, work, settings, writer, progress, record, shown)
    record.tables.extend(cross_tables(record.measured, settings.measure, record.warn, progress))
    info = run_info(record, settings.measure.seed, started)
    tables = record.tables
    findings = flow_findings(table_of(tables.layers, LayerRow), table_of(tables.pairs, PairRow))
    if settings.keep.texts:
        writer.write_table("tokens", shown, TokenRow)
    writer.finish(tables.layers, tables.pairs, tables.paths, info, findings, replicates=tables.replicates())


def _subject(
    number: int,
    spec: SubjectSpec,
    work: Sequence[Assignment],
    settings: FlowSettings,
    writer: RunWriter,
    progress: Progress,
    record: Record,
    shown: list[TokenRow],
) -> None:
    """Load one subject and run all its tasks; the model is gone on return."""
    begun = time.perf_counter()
    progress.note(f"loading {spec}")
    subject = load_as(spec, settings)
    facts = subject.facts
    loaded = time.perf_counter() - begun
    record.subjects.append(asdict(facts))
    reader = reader_of(subject, settings)
    clock, tokens = Clock(), 0
    for assignment in work:
        reading = read(assignment, subject.tokenizer, facts, settings, record)
        clock += measure(f"{number:02d}-{assignment.key}", reader, facts, reading, settings, writer, progress, record)
        tokens += reading.tokens
        if settings.keep.texts:
            task, context = assignment.task.name, assignment.context
            shown += token_rows(reader, subject.tokenizer, reading.examples, options_of(settings), task, context)
    record.timings[facts.label] = {
        "load_s": round(loaded, 3),
        "forward_s": round(clock.forward, 3),
        "metrics_s": round(clock.metrics, 3),
        "calibration_s": round(clock.calibration, 3),
        "tokens_per_s": round(tokens / max(clock.forward + clock.metrics, 1e-9), 1),
    }


def load_as(spec: SubjectSpec | str, settings: FlowSettings) -> Loaded:
    """Load a subject the way the settings say."""
    return load(
        spec,
        dtype=settings.model.dtype,
        device=settings.model.device,
        trust_remote_code=settings.model.trust_remote_code,
        seed=settings.measure.seed,
        blocks=settings.model.blocks,
        final_norm=settings.model.final_norm,
    )
