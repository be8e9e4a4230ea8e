"""repflow flow"""

from dataclasses import dataclass, field

import tyro

from repflow.cli._arguments import parse, yaml_settings
from repflow.cli._progress import watching
from repflow.core import BadSetting
from repflow.studies.settings import (
    ZOO,
    FlowSettings,
    MeasureSettings,
    ModelSettings,
    OutputSettings,
    TaskSettings,
    flow_settings,
)


@dataclass(frozen=True)
class Flow:
    """Measure how representations flow through the depth of models, and write a run directory with its report.

    Example: repflow flow zoo:smollm2-135m --task text --text book.txt --context 512 --examples 64 --out runs/book

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tyro.conf.Positional[tuple[str, ...]] = ZOO
    """Models, named before the options: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...,
    each with @init=SCHEME[:SEED] if its weights are to be drawn anew."""
    task: TaskSettings = field(default_factory=TaskSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    report: bool = True
    """Write report.html beside the numbers; `repflow report DIR` makes it later."""


def flow(arguments: list[str]) -> int:
    """Run the study, write its report, print its summary."""
    values, rest = yaml_settings(arguments)
    for flag, other in (("--resume", "overwrite"), ("--overwrite", "resume")):
        if flag in rest:
            values.pop(other, None)
    asked = parse(Flow, "flow", rest, _defaults(values))
    settings = FlowSettings(asked.subjects, asked.task, asked.measure, asked.model, asked.output)
    from repflow.studies.flow import run_flow

    with watching() as progress:
        run = run_flow(settings, progress)
        if asked.report:
            progress.note("writing the report")
            from repflow.report import write_report

            write_report(run)
    from repflow.store import summary

    summary(run)
    return 0


def _defaults(values: dict[str, object]) -> Flow:
    """What the YAML file says, under the flags."""
    values = {name.replace("-", "_"): value for name, value in values.items()}
    subjects = values.pop("subjects", list(ZOO))
    named = [subjects] if isinstance(subjects, str) else subjects
    if not isinstance(named, list) or not all(isinstance(s, str) for s in named):
        raise BadSetting(f"subjects must be a list of names, got {subjects!r}")
    report = values.pop("report", True)
    if not isinstance(report, bool):
        raise BadSetting(f"report must be true or false, got {report!r}")
    settings = flow_settings(tuple(named), values)
    return Flow(settings.subjects, settings.task, settings.measure, settings.model, settings.output, report)
