"""probe: where in depth a task's answer is linearly readable, and whether the model says it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from repflow.engines import Progress
from repflow.models import Init, SubjectSpec
from repflow.models.spec import source_kind
from repflow.store import Run, RunWriter
from repflow.studies.kit.fields import flat
from repflow.studies.kit.preflight import subject_specs
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.session import run_info, written
from repflow.studies.kit.tasks import Assignment
from repflow.studies.probe.reading import probe_assignments
from repflow.studies.probe.record import ProbeRecord
from repflow.studies.probe.settings import PROBE_FREE, ProbeSettings
from repflow.studies.probe.subject import Probing


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

    def measure(writer: RunWriter) -> None:
        _measure(plan, settings, work, writer, progress, record)

    return written("probe", flat(settings), settings.output, progress, measure, PROBE_FREE)


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
    info = run_info(record, settings.probing.seed, started)
    record.write(writer)
    writer.finish([], [], [], info, record.findings)
