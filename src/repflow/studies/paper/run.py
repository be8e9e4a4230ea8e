"""paper: the runs inside the run one after another, then the claims."""

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from repflow.core import BadSetting, Interrupted, NotEnoughData, StoreConflict
from repflow.models import environment_facts
from repflow.store import Run, RunWriter
from repflow.studies.ablate.settings import ChangeSettings
from repflow.studies.kit.fields import flat
from repflow.studies.kit.progress import Silent
from repflow.studies.kit.session import run_directory, written
from repflow.studies.paper.claims import claim_rows
from repflow.studies.paper.findings import claim_findings
from repflow.studies.paper.presets import Part, checked_parts, subjects_of
from repflow.studies.paper.rows import ClaimRow
from repflow.studies.paper.settings import PaperSettings
from repflow.studies.paper.whole import Whole
from repflow.studies.paper.work import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repflow.engines import Progress


def run_paper(settings: PaperSettings, progress: "Progress | None" = None) -> Run:
    """Make every run asked for inside one run directory, judge the claims, and open it.

    A run inside whose settings do not fit a model (no prompt fits, say) is left out with a warning that says why; the
    claims that need it are not testable. Raises a CallerError for what the caller can mend, and where every run is
    left out.
    Interrupted or killed, finished runs stay, and the same settings with `resume` make those that lack.
    """
    progress = progress or Silent()
    parts = checked_parts(settings)
    directory = run_directory("paper", settings.output)
    output = replace(settings.output, out=directory)

    def measure(writer: RunWriter) -> None:
        _measure(parts, settings, writer, progress)

    with _resumed_here(str(directory)):
        return written("paper", flat(settings), output, progress, measure)


@contextmanager
def _resumed_here(directory: str) -> "Iterator[None]":
    """An interruption of a run inside is one of the whole."""
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(f"interrupted; what is done stays in {directory}", directory) from stop


@dataclass
class _Made:
    """What the runs inside came to."""

    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    left_out: dict[str, BadSetting | NotEnoughData] = field(default_factory=dict[str, BadSetting | NotEnoughData])
    seconds: dict[str, float] = field(default_factory=dict[str, float])


def _measure(parts: tuple[Part, ...], settings: PaperSettings, writer: RunWriter, progress: "Progress") -> None:
    started = time.perf_counter()
    made, course = _Made(), _Course.of(writer, anew=settings.output.overwrite)
    whole = Whole(progress, {part.name: _expected(part, writer) for part in parts})
    for part in parts:
        whole.start(part.name)
        begun = time.perf_counter()
        try:
            made.runs[part.name] = _run(part, settings, writer, whole, course, made)
            course.finished(writer, part.name)
        except (BadSetting, NotEnoughData) as error:
            made.left_out[part.name] = error
            whole.note(f"{part.name} is left out: {error}")
        made.seconds[part.name] = round(time.perf_counter() - begun, 3)
    whole.finish()
    if not made.runs:
        raise next(iter(made.left_out.values()))
    left_out = {name: str(error) for name, error in made.left_out.items()}
    rows = claim_rows(made.runs, subjects_of(settings), left_out)
    writer.write_table("claims", rows, ClaimRow)
    writer.finish([], [], [], _info(made, settings, started), claim_findings(rows))


def _expected(part: Part, writer: RunWriter) -> float:
    """Tokens that it is going to read; next to none where it is there already."""
    there = (writer.directory / part.name / "run.json").is_file()
    return tokens(part) * len(part.settings.subjects) * (0.01 if there else 1.0)


def _run(
    part: Part, settings: PaperSettings, writer: RunWriter, progress: "Progress", course: "_Course", made: _Made
) -> Run:
    """One run, gone on with where it stands, or made anew. Raises StoreConflict for something else in its place."""
    place = writer.directory / part.name
    if place.is_symlink():
        raise StoreConflict(f"{place} is a link, needed a folder of the run; put one in its place")
    anew = course.anew and part.name not in course.done
    placed = part.at(writer.directory, resume=not anew, overwrite=anew, shard=settings.output.shard)
    known = [facts for run in made.runs.values() for facts in run.subjects]
    if part.study == "ablate" and known and not any(map(_attends, known)):
        changes = ChangeSettings(placed.settings.changes.what)
        placed = replace(placed, settings=replace(placed.settings, changes=changes))
    return _studies()[part.study](placed.settings, progress)


def _attends(facts: Mapping[str, Any]) -> bool:
    """Whether a window of attention can be tried; a model of unknown mixers is given the chance."""
    return not facts.get("mixers") or any("attention" in str(mixer) for mixer in facts["mixers"])


@dataclass
class _Course:
    """Which runs inside are done, kept so that a run that is gone on with knows what was there before it."""

    anew: bool
    done: list[str]

    @classmethod
    def of(cls, writer: RunWriter, *, anew: bool) -> "_Course":
        """As it was left, or from the start. What an --overwrite replaces stays until its first run is done."""
        kept = writer.read_part("parts")
        if kept is not None:
            return cls(bool(kept[1].get("anew")), list(kept[1].get("done", ())))
        course = cls(anew, [])
        if not anew:
            course.finished(writer)
        return course

    def finished(self, writer: RunWriter, *parts: str) -> None:
        self.done += parts
        writer.save_part("parts", {}, {"anew": self.anew, "done": self.done})


def _studies() -> Mapping[str, Callable[[Any, Any], Run]]:
    from repflow.studies.ablate.run import run_ablate
    from repflow.studies.attribute.run import run_attribute
    from repflow.studies.dynamics.run import run_dynamics
    from repflow.studies.flow.run import run_flow
    from repflow.studies.probe.run import run_probe

    return {
        "flow": run_flow,
        "probe": run_probe,
        "attribute": run_attribute,
        "ablate": run_ablate,
        "dynamics": run_dynamics,
    }


def _info(made: _Made, settings: PaperSettings, started: float) -> dict[str, Any]:
    """What run.json says of the whole; each run inside says the rest of itself."""
    labels = subjects_of(settings)
    known = {facts["label"]: facts for run in made.runs.values() for facts in run.subjects}
    tasks: dict[tuple[str, ...], dict[str, Any]] = {}
    for run in made.runs.values():
        for task in run.info.get("tasks") or []:
            key = tuple(str(task.get(name)) for name in ("name", "context", "subject", "examples_sha256"))
            if task.get("subject") in labels:
                tasks.setdefault(key, task)
    warnings = [f"{name}: {line}" for name, run in made.runs.items() for line in run.info.get("warnings") or []]
    return {
        "parts": [{"name": name} for name in made.runs],
        "subjects": [known[label] for label in labels if label in known],
        "tasks": list(tasks.values()),
        "versions": environment_facts(),
        "seed": settings.study.seed,
        "timings": {**made.seconds, "total_s": round(time.perf_counter() - started, 3)},
        "warnings": [
            *(f"{name} is left out: {error}" for name, error in made.left_out.items()),
            *_disagreements(made.runs),
            *warnings,
        ],
    }


def _disagreements(runs: Mapping[str, Run]) -> list[str]:
    """Where runs inside read other text, or other weights, than those before them."""
    first: dict[tuple[str, ...], tuple[str, str]] = {}
    found: list[str] = []
    for name, run in runs.items():
        told: list[tuple[tuple[str, ...], str]] = [
            (("weights", str(facts["label"])), str(facts.get("weights_sha256"))) for facts in run.subjects
        ]
        for task in run.info.get("tasks") or []:
            key = tuple(str(task.get(each)) for each in ("name", "context", "subject", "n_examples"))
            told.append((("text", *key), str(task.get("examples_sha256"))))
        for key, digest in told:
            before, known = first.setdefault(key, (name, digest))
            if known != digest:
                found.append(f"{before} and {name} had other {key[0]} of {', '.join(key[1:])}; make the run anew")
    return found
