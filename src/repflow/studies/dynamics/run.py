"""dynamics: how fast state-space blocks forget, how far back influence reaches, and the bounds beside both."""

import time
from collections.abc import Sequence

from repflow.engines import Progress
from repflow.models import SubjectSpec
from repflow.store import Run, RunWriter
from repflow.studies.dynamics.record import DynamicsRecord
from repflow.studies.dynamics.settings import DynamicsSettings
from repflow.studies.dynamics.subject import Watching
from repflow.studies.kit.fields import flat
from repflow.studies.kit.preflight import subject_specs
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.session import run_info, written
from repflow.studies.kit.tasks import Assignment, assignments


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

    return written("dynamics", flat(settings), settings.output, progress, measure)


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
