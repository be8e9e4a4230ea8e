"""probe: where in depth a task's answer is linearly readable, and whether the model says it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from repflow.core import Interrupted
from repflow.engines import Progress
from repflow.models import Init, SubjectSpec, environment_facts
from repflow.models.spec import source_kind
from repflow.store import RunWriter
from repflow.studies._preflight import subject_specs
from repflow.studies._progress import Silent
from repflow.studies._tasks import Assignment
from repflow.studies.probe_reading import probe_assignments
from repflow.studies.probe_record import ProbeRecord
from repflow.studies.probe_settings import PROBE_FREE, ProbeSettings, flat_probe
from repflow.studies.probe_subject import Probing
from repflow.studies.run import Run


@dataclass(frozen=True)
class Planned:
    """A subject of the run, perhaps there as the random baseline of another."""

    spec: SubjectSpec
    baseline_of: str | None = None


def run_probe(settings: ProbeSettings, progress: Progress | None = None) -> Run:
    """Probe every subject on every task and context; write and open the run directory.

    Raises a CallerError for what the caller can mend. Interrupted, killed or failed, what is done stays in the
    directory, and the same settings with `resume` finish it.
    """
    progress = progress or Silent()
    record = ProbeRecord()
    plan = planned(subject_specs(settings.subjects), settings, record)
    work = probe_assignments(settings)
    directory = settings.output.out or Path("runs") / f"probe-{datetime.now():%Y%m%d-%H%M%S}"
    writer = RunWriter.create(
        directory,
        {name: value for name, value in flat_probe(settings).items() if name not in ("out", "resume", "overwrite")},
        "probe",
        resume=settings.output.resume,
        overwrite=settings.output.overwrite,
        free=PROBE_FREE,
    )
    with writer:
        if writer.finished:
            progress.note(f"{directory} holds this run, finished; nothing to measure")
        else:
            try:
                _measure(plan, settings, work, writer, progress, record)
            except KeyboardInterrupt as stop:
                raise Interrupted(f"interrupted; what is done stays in {directory}", str(directory)) from stop
    return Run.load(directory)


def planned(specs: Sequence[SubjectSpec], settings: ProbeSettings, record: ProbeRecord) -> list[Planned]:
    """The subjects, each trained one followed by its random baseline where that is asked for."""
    if settings.probing.baseline == "none":
        return [Planned(spec) for spec in specs]
    plan: dict[str, Planned] = {}
    for spec in specs:
        plan.setdefault(spec.label, Planned(spec))
        if spec.init is not None or source_kind(spec.source) == "config":
            record.warn(f"{spec.label} is random already and has no baseline of its own")
            continue
        drawn = SubjectSpec(spec.source, Init("config", settings.probing.seed), spec.ablations, spec.revision)
        plan[drawn.label] = Planned(drawn, spec.label)
    return list(plan.values())


def _measure(
    plan: Sequence[Planned],
    settings: ProbeSettings,
    work: Sequence[Assignment],
    writer: RunWriter,
    progress: Progress,
    record: ProbeRecord,
) -> None:
    started = time.perf_counter()
    probing = Probing(settings, work, writer, progress, record)
    for number, subject in enumerate(plan):
        probing.subject(number, subject.spec, subject.baseline_of)
    info = {
        "subjects": record.subjects,
        "tasks": record.tasks,
        "versions": environment_facts(),
        "seed": settings.probing.seed,
        "timings": record.timings | {"total_s": round(time.perf_counter() - started, 3)},
        "warnings": record.warnings,
    }
    record.write(writer)
    writer.finish([], [], [], info)
