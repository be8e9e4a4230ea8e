"""What the commands that run a study share: the settings file under the flags, and the report at the end."""

from typing import TYPE_CHECKING

from repflow.cli._arguments import yaml_settings
from repflow.core import BadSetting, Interrupted
from repflow.studies.kit.settings import ZOO

if TYPE_CHECKING:
    from repflow.engines import Progress
    from repflow.store import Run


def study_values(arguments: list[str]) -> tuple[dict[str, object], list[str]]:
    """Settings of the YAML file by their names with underscores, and the arguments without it."""
    values, rest = yaml_settings(arguments)
    for flag, other in (("--resume", "overwrite"), ("--overwrite", "resume")):
        if flag in rest:
            values.pop(other, None)
    return {name.replace("-", "_"): value for name, value in values.items()}, rest


def taken_apart(values: dict[str, object]) -> tuple[tuple[str, ...], bool, dict[str, object]]:
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


def reported(run: "Run", progress: "Progress") -> None:
    """Write the run's report. Raises Interrupted with the run's directory."""
    progress.note("writing the report")
    try:
        from repflow.report import write_report

        write_report(run)
    except KeyboardInterrupt as stop:
        directory = str(run.directory)
        raise Interrupted(f"interrupted; {directory} is whole but for its report", directory) from stop
