"""dynamics: how fast state-space blocks forget, how far back influence reaches, and the bounds beside both."""

import time
from collections.abc import Sequence

from repflow.engines import Progress
from repflow.models import SubjectSpec
from repflow.store import RunWriter
from repflow.studies._preflight import subject_specs
from repflow.studies._progress import Silent
from repflow.studies._session import run_info, written
from repflow.studies._tasks import Assignment, assignments
from repflow.studies.dynamics_record import DynamicsRecord
from repflow.studies.dynamics_settings import DynamicsSettings, flat_dynamics
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

    def measure(writer: RunWriter) -> None:
        _measure(specs, settings, work, writer, progress)

    return written("dynamics", flat_dynamics(settings), settings.output, progress, measure)


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
    record.settle()
    info = run_info(record, settings.measure.seed, started)
    record.write(writer)
    writer.finish([], [], [], info)
