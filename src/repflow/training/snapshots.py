"""Models saved while they were trained, measured into one run directory with the rows of all their steps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from repflow.core import BadSetting, CallerError, Interrupted, SubjectFacts, local_path
from repflow.engines import Progress
from repflow.models import Loaded, SubjectSpec, check_source
from repflow.report.run import Run
from repflow.studies.flow.measure import read, reader_of
from repflow.studies.flow.run import load_as
from repflow.studies.kit.bars import shown
from repflow.studies.kit.record import Reading, Record
from repflow.studies.kit.settings import FlowSettings, MeasureSettings, ModelSettings
from repflow.studies.kit.tasks import Assignment
from repflow.training.evaluation import Evaluated, evaluation, of_one, recorded
from repflow.training.series import COMMAND, Series, measure_step


def measure_snapshots(
    snapshots: Mapping[str, Mapping[int, str | Path]],
    out: str | Path,
    task: Evaluated | None = None,
    measure: MeasureSettings | None = None,
    *,
    units: Sequence[int] | None = None,
    model: ModelSettings | None = None,
    keep_replicates: bool | Literal["read"] = True,
    overwrite: bool = False,
    progress: Progress | bool = True,
) -> Run:
    """Measure models saved in training; the rows are those that FlowCallback writes of the same weights.

    Args:
        snapshots: for every subject, by the label it gets in the rows, the optimiser step and the directory (or any
            other SUBJECT) of each of its snapshots.
        out: the run directory. An unfinished run of the same snapshots and settings is gone on with, a finished one
            returned as it is.
        task, measure, units, model: as in FlowCallback, and the settings of `repflow flow` that say how a model is
            loaded.
        keep_replicates: write the bootstrap replicates, which paired intervals need and which are most of the bytes;
            "read" keeps those of the lines that the report, `show` and `compare` read.
        overwrite: replace the run that stands in `out`.
        progress: whether to show a bar, where this is a terminal or a notebook, or who is told of the run's course.

    Subjects are not compared with each other. Raises a CallerError for what the caller can mend; Interrupted on Ctrl-C,
    what is measured stays then.
    """
    out = local_path(out)
    _check(snapshots)
    settings, work = evaluation(list(snapshots), task, measure, model, units)
    steps = {label: sorted(places) for label, places in snapshots.items()}
    kept = recorded(settings, steps=steps, replicates_kept=keep_replicates)
    series = Series(out, kept, COMMAND, settings.measure.seed, keep_replicates)
    if series.begin(overwrite=overwrite):
        record = Record()
        try:
            with shown(progress) as told:
                for label, places in snapshots.items():
                    one = _Subject(label, of_one(settings, label), work, series, record, told, overwrite)
                    for step in steps[label]:
                        one.measure(step, str(places[step]))
        except KeyboardInterrupt as stop:
            raise Interrupted(f"interrupted; what is measured stays in {out}", str(out)) from stop
        series.finish(steps, record.tasks, record.warnings)
    return Run.load(out)


def _check(snapshots: Mapping[str, Mapping[int, str | Path]]) -> None:
    """A slip in the last snapshot must not be found after hours on the others."""
    if not snapshots or not all(snapshots.values()):
        raise BadSetting("measure_snapshots needs at least one subject, each with at least one snapshot")
    for label, places in snapshots.items():
        for step, place in places.items():
            if not isinstance(step, int) or isinstance(step, bool) or step < 0:
                raise BadSetting(f"{label}: a step is a whole number of 0 or more, got {step!r}")
            check_source(SubjectSpec.parse(str(place)))


@dataclass
class _Subject:
    """One subject, snapshot after snapshot."""

    label: str
    settings: FlowSettings
    work: Sequence[Assignment]
    series: Series
    record: Record
    progress: Progress
    overwrite: bool
    readings: list[Reading] = field(default_factory=list[Reading])
    first: SubjectFacts | None = None

    def measure(self, step: int, place: str) -> None:
        """Measure a snapshot unless it was before, with these very weights; the model is gone on return."""
        self.progress.note(f"{self.label} at step {step:,}: loading {place}")
        subject = load_as(place, self.settings)
        facts = replace(subject.facts, label=self.label)
        self._take_up(subject, facts, step)
        if self.series.weights(self.label, step) == facts.weights_sha256:
            return
        reader = replace(reader_of(subject, self.settings), label=f"{self.label} at step {step}")
        measure_step(self.series, reader, facts, self.readings, self.settings, step, self.progress)

    def _take_up(self, subject: Loaded, facts: SubjectFacts, step: int) -> None:
        """Cut the examples at the first snapshot; the others must be of the same model."""
        if self.first is None:
            self.first = facts
            self.readings = [
                read(assignment, subject.tokenizer, facts, self.settings, self.record) for assignment in self.work
            ]
            self.series.claim(self.label, self.record.tasks[-len(self.work) :], overwrite=self.overwrite)
        for name in ("family", "n_blocks", "width", "tokenizer_sha256"):
            if asdict(facts)[name] != asdict(self.first)[name]:
                raise CallerError(
                    f"{self.label}: the snapshot of step {step} has another {name} than the first; give snapshots of "
                    "one training"
                )
