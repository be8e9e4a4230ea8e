"""attribute: how much of what a model shows its architecture shows with random weights."""

import time
from collections.abc import Sequence

from repflow.core import BadSetting
from repflow.engines import Progress
from repflow.models import SubjectSpec
from repflow.models.spec import source_kind
from repflow.store import Run, RunWriter
from repflow.studies.attribute.estimate import scheme_rows, share_rows
from repflow.studies.attribute.power import powers
from repflow.studies.attribute.record import AttributeRecord
from repflow.studies.attribute.rows import SchemeRow, ShareRow
from repflow.studies.attribute.same import check_same
from repflow.studies.attribute.settings import AttributeSettings
from repflow.studies.attribute.share import LEAST_DRAWS, LEAST_UNITS
from repflow.studies.attribute.subject import Attributing
from repflow.studies.attribute.verdict import OWN, corrected, findings_of
from repflow.studies.kit.fields import flat
from repflow.studies.kit.preflight import subject_specs
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.record import Record
from repflow.studies.kit.session import run_info, written
from repflow.studies.kit.tasks import assignments


def run_attribute(settings: AttributeSettings, progress: Progress | None = None) -> Run:
    """Measure every subject trained and with its weights drawn anew; write and open the run directory.

    Raises a CallerError for what the caller can mend. Interrupted, killed or failed, what is done stays in the
    directory, and the same settings with `resume` finish it.
    """
    progress = progress or Silent()
    record = AttributeRecord()
    specs = checked(settings, record)
    work = assignments(settings.task)

    def measure(writer: RunWriter) -> None:
        _measure(specs, Attributing(settings, work, writer, progress, record), record)

    return written("attribute", flat(settings), settings.output, progress, measure)


def checked(settings: AttributeSettings, record: Record) -> list[SubjectSpec]:
    """The subjects' specs; what will leave every verdict undecided is a warning. Raises BadSetting for an @init."""
    specs = subject_specs(settings.subjects)
    for spec in specs:
        if spec.init is not None:
            raise BadSetting(f"{spec}: attribute draws the weights itself; name {spec.source} and choose --schemes")
        if source_kind(spec.source) == "config":
            record.warn(f"{spec.label} is random already; its own weights stand where trained ones should")
    asked = settings.attribution
    if settings.task.examples < LEAST_UNITS:
        record.warn(f"{settings.task.examples} examples give no verdict; {LEAST_UNITS} or more can")
    if asked.seeds < LEAST_DRAWS:
        record.warn(f"{asked.seeds} draws give no verdict; {LEAST_DRAWS} or more can")
    if OWN not in asked.schemes:
        record.warn(f"without the scheme {OWN}, which decides, there is no verdict")
    if not asked.calibration:
        record.warn("without --calibration likeness is raw alone: an offset that all tokens share counts as likeness")
    return specs


def _measure(specs: Sequence[SubjectSpec], attributing: Attributing, record: AttributeRecord) -> None:
    started, settings, writer = time.perf_counter(), attributing.settings, attributing.writer
    if settings.attribution.same_architecture:
        check_same(specs, settings.flow(), attributing.progress)
    for number, spec in enumerate(specs):
        attributing.subject(number, spec)
    record.settle()
    tables, groups = record.tables, record.groups(settings.attribution.same_architecture)
    shares = corrected(share_rows(tables, groups))
    writer.write_table("shares", shares, ShareRow)
    writer.write_table("schemes", scheme_rows(tables, groups), SchemeRow)
    info = run_info(record, settings.attribution.seed, started) | {"power": powers(shares)}
    replicates = tables.replicates() if settings.attribution.keep_replicates else None
    writer.finish(tables.layers, tables.pairs, tables.paths, info, findings_of(shares), replicates=replicates)
