"""dynamics: how fast state-space blocks forget, how far back influence reaches, and the bounds beside both."""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from repflow.core import Interrupted
from repflow.engines import Progress
from repflow.models import SubjectSpec, environment_facts
from repflow.store import RunWriter
from repflow.studies._preflight import subject_specs
from repflow.studies._progress import Silent
from repflow.studies._tasks import Assignment, assignments
from repflow.studies.dynamics_record import DynamicsRecord
from repflow.studies.dynamics_settings import DYNAMICS_FREE, DynamicsSettings, flat_dynamics
from repflow.studies.dynamics_subject import Watching
from repflow.studies.run import Run


def run_dynamics(settings: DynamicsSettings, progress: Progress | None = None) -> Run:
    """Measure the dynamics of every subject; write and open the run directory.

    Raises a CallerError for what the caller can mend. Interrupted, killed or failed, what is done stays in the
    directory, and the same settings with `resume` finish it.
    """
    progress = progress or Silent()
    specs = subject_specs(settings.subjects)
    work = assignments(settings.task)
    directory = settings.output.out or Path("runs") / f"dynamics-{datetime.now():%Y%m%d-%H%M%S}"
    writer = RunWriter.create(
        directory,
        {name: value for name, value in flat_dynamics(settings).items() if name not in ("out", "resume", "overwrite")},
        "dynamics",
        resume=settings.output.resume,
        overwrite=settings.output.overwrite,
        free=DYNAMICS_FREE,
    )
    with writer:
        if writer.finished:
            progress.note(f"{directory} holds this run, finished; nothing to measure")
        else:
            try:
                _measure(specs, settings, work, writer, progress)
            except KeyboardInterrupt as stop:
                raise Interrupted(f"interrupted; what is done stays in {directory}", str(directory)) from stop
    return Run.load(directory)


def _measure(
    specs: Sequence[SubjectSpec],
    settings: DynamicsSettings,
    work: Sequence[Assignment],
    writer: RunWriter,
    progress: Progress,
) -> None:
    started = time.perf_counter()
    record = DynamicsRecord()
    watching = Watching(settings, work, writer, progress, record)
    for number, spec in enumerate(specs):
        watching.subject(number, spec)
    info = {
        "subjects": record.subjects,
        "tasks": record.tasks,
        "versions": environment_facts(),
        "seed": settings.measure.seed,
        "timings": record.timings | {"total_s": round(time.perf_counter() - started, 3)},
        "warnings": record.warnings,
    }
    record.write(writer)
    writer.finish([], [], [], info)
