"""attribute: how much of what a model shows its architecture shows with random weights."""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from repflow.core import BadSetting, Interrupted
from repflow.core.attribution_records import SchemeRow, ShareRow
from repflow.engines import Progress
from repflow.models import SubjectSpec, environment_facts
from repflow.models.spec import source_kind
from repflow.store import RunWriter
from repflow.studies._preflight import subject_specs
from repflow.studies._progress import Silent
from repflow.studies.attribute_record import AttributeRecord
from repflow.studies.attribute_rows import scheme_rows, share_rows
from repflow.studies.attribute_settings import ATTRIBUTE_FREE, AttributeSettings, flat_attribute
from repflow.studies.attribute_share import LEAST_EXAMPLES, LEAST_SEEDS
from repflow.studies.attribute_subject import Attributing
from repflow.studies.attribute_verdict import OWN, findings_of
from repflow.studies.jobs import Record, assignments
from repflow.studies.run import Run


def run_attribute(settings: AttributeSettings, progress: Progress | None = None) -> Run:
    """Measure every subject trained and with its weights drawn anew; write and open the run directory.

    Raises a CallerError for what the caller can mend. Interrupted, killed or failed, what is done stays in the
    directory, and the same settings with `resume` finish it.
    """
    progress = progress or Silent()
    record = AttributeRecord()
    specs = checked(settings, record)
    work = assignments(settings.task)
    directory = settings.output.out or Path("runs") / f"attribute-{datetime.now():%Y%m%d-%H%M%S}"
    writer = RunWriter.create(
        directory,
        {name: value for name, value in flat_attribute(settings).items() if name not in ("out", "resume", "overwrite")},
        "attribute",
        resume=settings.output.resume,
        overwrite=settings.output.overwrite,
        free=ATTRIBUTE_FREE,
    )
    with writer:
        if writer.finished:
            progress.note(f"{directory} holds this run, finished; nothing to measure")
        else:
            try:
                _measure(specs, Attributing(settings, work, writer, progress, record), record)
            except KeyboardInterrupt as stop:
                raise Interrupted(f"interrupted; what is done stays in {directory}", str(directory)) from stop
    return Run.load(directory)


def checked(settings: AttributeSettings, record: Record) -> list[SubjectSpec]:
    """The subjects' specs; what will leave every verdict undecided is a warning. Raises BadSetting for an @init."""
    specs = subject_specs(settings.subjects)
    for spec in specs:
        if spec.init is not None:
            raise BadSetting(f"{spec}: attribute draws the weights itself; name {spec.source} and choose --schemes")
        if source_kind(spec.source) == "config":
            record.warn(f"{spec.label} is random already; its own weights stand where trained ones should")
    asked = settings.attribution
    if settings.task.examples < LEAST_EXAMPLES:
        record.warn(f"{settings.task.examples} examples give no verdict; {LEAST_EXAMPLES} or more can")
    if asked.seeds < LEAST_SEEDS:
        record.warn(f"{asked.seeds} seeds give no verdict; {LEAST_SEEDS} or more can")
    if OWN not in asked.schemes:
        record.warn(f"without the scheme {OWN} there is no verdict over the schemes")
    return specs


def _measure(specs: Sequence[SubjectSpec], attributing: Attributing, record: AttributeRecord) -> None:
    started = time.perf_counter()
    for number, spec in enumerate(specs):
        attributing.subject(number, spec)
    tables, writer = record.tables, attributing.writer
    shares = share_rows(tables, record.families, record.draws)
    writer.write_table("shares", shares, ShareRow)
    writer.write_table("schemes", scheme_rows(tables, record.families, record.draws), SchemeRow)
    info = {
        "subjects": record.subjects,
        "tasks": record.tasks,
        "versions": environment_facts(),
        "seed": attributing.settings.attribution.seed,
        "timings": record.timings | {"total_s": round(time.perf_counter() - started, 3)},
        "warnings": record.warnings,
    }
    replicates = tables.replicates()
    writer.finish(tables.layers, tables.pairs, tables.paths, info, findings_of(shares), replicates=replicates)
