"""The commands that run a study: the settings file under the flags, the report and the summary at the end."""

from dataclasses import fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from repflow.cli.arguments import parse, yaml_settings
from repflow.cli.progress import watching
from repflow.core import BadSetting, Interrupted
from repflow.studies.kit.fields import from_flat
from repflow.studies.kit.settings import ZOO

if TYPE_CHECKING:
    from repflow.engines import Progress
    from repflow.report.run import Run
    from repflow.studies.kit.study import Study


def run_study(study: "Study", arguments: list[str]) -> int:
    """Run the study, write its report, print its summary."""
    kind = study.settings()
    values, rest = _study_values(arguments)
    subjects, reporting, named = _taken_apart(values)
    known = _held(from_flat(kind, subjects, named))
    asked = _held(parse(command := command_of(study), study.name, rest, command(**known, report=reporting)))
    reporting = asked.pop("report")
    settings = kind(**asked)
    from repflow.report.run import Run

    with watching() as progress:
        run = Run.of(study.run(settings, progress))
        if reporting:
            _reported(run, progress)
    from repflow.report.show import summary

    summary(run)
    return 0


def command_of(study: "Study") -> type[Any]:
    """The study's settings as a command line has them: subjects by position, and whether to write the report."""
    kind = study.settings()
    told = {
        "subjects": (tyro.conf.Positional[tuple[str, ...]], study.naming, ZOO),
        "report": (bool, "Write report.html beside the numbers; `repflow report DIR` makes it later.", True),
    }
    added = [(name, Annotated[hint, tyro.conf.arg(help=said)], default) for name, (hint, said, default) in told.items()]
    return make_dataclass(kind.__name__, added, bases=(kind,), frozen=True, namespace={"__doc__": kind.__doc__})


def _held(settings: Any) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


def _study_values(arguments: list[str]) -> tuple[dict[str, object], list[str]]:
    """Settings of the YAML file by their names with underscores, and the arguments without it."""
    values, rest = yaml_settings(arguments)
    for flag, other in (("--resume", "overwrite"), ("--overwrite", "resume")):
        if flag in rest:
            values.pop(other, None)
    return {name.replace("-", "_"): value for name, value in values.items()}, rest


def _taken_apart(values: dict[str, object]) -> tuple[tuple[str, ...], bool, dict[str, object]]:
    """Subjects, whether to write the report, and the other settings. Raises BadSetting."""
    rest = dict(values)
    subjects = rest.pop("subjects", list(ZOO))
    named = [subjects] if isinstance(subjects, str) else subjects
    if not isinstance(named, list) or not all(isinstance(s, str) for s in named):
        raise BadSetting(f"subjects must be a list of names, got {subjects!r}")
    report = rest.pop("report", True)
    if not isinstance(report, bool):
        raise BadSetting(f"report must be true or false, got {report!r}")
    return tuple(named), report, rest


def _reported(run: "Run", progress: "Progress") -> None:
    """Write the run's report. Raises Interrupted with the run's directory."""
    progress.note("writing the report")
    try:
        from repflow.report import write_report

        write_report(run)
    except KeyboardInterrupt as stop:
        directory = str(run.directory)
        raise Interrupted(f"interrupted; {directory} is whole but for its report", directory) from stop
