"""ablate: what changes in a model's flow, loss and answers when a part of it is taken away, held still or cut short."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from repflow.engines import Progress
from repflow.models import Loaded, SubjectSpec
from repflow.store import Run, RunWriter
from repflow.studies.ablate.changes import Changes, changes_for, left_out
from repflow.studies.ablate.record import AblateRecord
from repflow.studies.ablate.rows import AblationRow
from repflow.studies.ablate.settings import AblateSettings
from repflow.studies.ablate.subject import Ablating
from repflow.studies.flow.run import load_as
from repflow.studies.kit.fields import flat
from repflow.studies.kit.preflight import subject_specs
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.session import run_info, written
from repflow.studies.kit.tasks import Assignment, assignments


def run_ablate(settings: AblateSettings, progress: Progress | None = None) -> Run:
    """Measure every subject as it is and with every change; write and open the run directory.

    Raises a CallerError for what the caller can mend. Interrupted, killed or failed, what is done stays in the
    directory, and the same settings with `resume` finish it. The models are as they were, whatever happens.
    """
    progress = progress or Silent()
    specs = subject_specs(settings.subjects)
    work = assignments(settings.task)

    def measure(writer: RunWriter) -> None:
        _measure(specs, settings, work, writer, progress)

    return written("ablate", flat(settings), settings.output, progress, measure)


@dataclass(frozen=True)
class Planned:
    """A subject and the changes it can have, found before anything is measured."""

    spec: SubjectSpec
    changes: Changes
    subject: Loaded | None
    """Still loaded where it is the only one."""


def _measure(
    specs: Sequence[SubjectSpec],
    settings: AblateSettings,
    work: Sequence[Assignment],
    writer: RunWriter,
    progress: Progress,
) -> None:
    started = time.perf_counter()
    record = AblateRecord()
    ablating = Ablating(settings, work, writer, progress, record)
    plan = _planned(specs, settings, progress)
    for line in left_out([planned.changes for planned in plan]):
        record.warn(line)
        progress.note(line)
    for number, planned in enumerate(plan):
        begun = time.perf_counter()
        subject = planned.subject or _load(planned.spec, settings, progress)
        ablating.subject(number, subject, planned.changes.made, time.perf_counter() - begun)
    record.settle()
    info = run_info(record, settings.measure.seed, started)
    tables = record.tables
    writer.write_table("ablations", record.ablations, AblationRow)
    writer.finish(tables.layers, tables.pairs, tables.paths, info, replicates=tables.replicates())


def _planned(specs: Sequence[SubjectSpec], settings: AblateSettings, progress: Progress) -> list[Planned]:
    """Every subject's changes. All are looked up before the first is measured, so that a slip costs no hours."""
    plan: list[Planned] = []
    for spec in specs:
        subject = _load(spec, settings, progress)
        changes = changes_for(subject, settings.changes.named, settings.changes.each_block)
        plan.append(Planned(spec, changes, subject if len(specs) == 1 else None))
    return plan


def _load(spec: SubjectSpec, settings: AblateSettings, progress: Progress) -> Loaded:
    progress.note(f"loading {spec}")
    return load_as(spec, settings.flow())
