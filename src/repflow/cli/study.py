"""The commands that run a study: the settings file under the flags, the report and the summary at the end."""

from dataclasses import fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from repflow.cli.arguments import parse, yaml_settings
from repflow.cli.progress import watching
from repflow.core import BadSetting, Interrupted
from repflow.studies.kit.fields import from_flat, named
from repflow.studies.kit.settings import ZOO

if TYPE_CHECKING:
    from repflow.engines import Progress
    from repflow.report.run import Run
    from repflow.studies.kit.study import Study


def run_study(study: "Study", arguments: list[str]) -> int:
    """Run the study, write its report, print its summary."""
    kind = study.settings()
    values, rest = _study_values(arguments)
    subjects, switches, named = _taken_apart(study, values)
    known = _held(from_flat(kind, subjects, named))
    asked = _held(parse(command := command_of(study), study.name, rest, command(**known, **switches)))
    switches = {name: asked.pop(name) for name in switches}
    settings = kind(**asked)
    if switches.get("plan"):
        with watching() as progress:
            told = study.plan(settings, progress)
        print(told)
        return 0
    from repflow.report.run import Run

    with watching() as progress:
        run = Run.of(_run_of(study, settings, progress, series=switches.get("series", False)))
        if switches["report"]:
            _reported(run, progress)
    from repflow.report.show import summary

    summary(run)
    return 0


def command_of(study: "Study") -> type[Any]:
    """The study's settings as a command line has them: subjects by position, and whether to write the report."""
    kind = study.settings()
    told: dict[str, tuple[Any, str, Any]] = {"subjects": (tyro.conf.Positional[tuple[str, ...]], study.naming, ZOO)}
    told |= {name: (bool, said, default) for name, (said, default) in _switches(study).items()}
    added = [(name, Annotated[hint, _said(name, said)], default) for name, (hint, said, default) in told.items()]
    return make_dataclass(kind.__name__, added, bases=(kind,), frozen=True, namespace={"__doc__": kind.__doc__})


def _said(name: str, sentence: str) -> Any:
    return tyro.conf.arg(help=sentence, metavar="[SUBJECT ...]" if name == "subjects" else None)


def _switches(study: "Study") -> dict[str, tuple[str, bool]]:
    """What the command takes besides the study's settings: a sentence and the default of each."""
    found = {"report": ("Write report.html beside the numbers; `repflow report DIR` makes it later.", True)}
    series = (
        "The subjects are checkpoints of one training, DIR/checkpoint-* or DIR/step_*: measure them as its steps.",
        False,
    )
    plan = (
        "Say what it takes (time, memory, disk, downloads), from shapes and a few timed passes, and stop.",
        False,
    )
    return found | ({"series": series} if study.series else {}) | ({"plan": plan} if study.plans else {})


def _run_of(study: "Study", settings: Any, progress: "Progress", *, series: bool) -> Any:
    if not series:
        return study.run(settings, progress)
    from repflow.training.checkpoints import measure_series

    return measure_series(settings, progress)


def _held(settings: Any) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


def _study_values(arguments: list[str]) -> tuple[dict[str, object], list[str]]:
    """Settings of the YAML file by their names with underscores, and the arguments without it."""
    values, rest = yaml_settings(arguments)
    for flag, other in (("--resume", "overwrite"), ("--overwrite", "resume")):
        if flag in rest:
            values.pop(other, None)
    return {name.replace("-", "_"): value for name, value in values.items()}, rest


def _taken_apart(
    study: "Study", values: dict[str, object]
) -> tuple[tuple[str, ...], dict[str, bool], dict[str, object]]:
    """Subjects, the command's own switches, and the other settings. Raises BadSetting."""
    rest = dict(values)
    subjects = named(rest.pop("subjects", ZOO))
    switches: dict[str, bool] = {}
    for name, (_, default) in _switches(study).items():
        given = rest.pop(name, default)
        if not isinstance(given, bool):
            raise BadSetting(f"{name} must be true or false, got {given!r}")
        switches[name] = given
    return subjects, switches, rest


def _reported(run: "Run", progress: "Progress") -> None:
    """Write the run's report. Raises Interrupted with the run's directory."""
    progress.note("writing the report")
    try:
        from repflow.report import write_report

        write_report(run)
    except KeyboardInterrupt as stop:
        directory = str(run.directory)
        raise Interrupted(f"interrupted; {directory} is whole but for its report", directory) from stop
