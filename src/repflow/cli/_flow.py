"""repflow flow"""

from dataclasses import dataclass, field

import tyro

from repflow.cli._arguments import parse
from repflow.cli._progress import watching
from repflow.cli._study import reported, study_values, taken_apart
from repflow.studies.kit.settings import (
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
    each with @init=SCHEME[:SEED] if its weights are to be drawn anew, and @ablate=NAME[:VALUE][,BLOCKS] if a
    part of it is to be changed."""
    task: TaskSettings = field(default_factory=TaskSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    report: bool = True
    """Write report.html beside the numbers; `repflow report DIR` makes it later."""


def flow(arguments: list[str]) -> int:
    """Run the study, write its report, print its summary."""
    values, rest = study_values(arguments)
    asked = parse(Flow, "flow", rest, _defaults(values))
    settings = FlowSettings(asked.subjects, asked.task, asked.measure, asked.model, asked.output)
    from repflow.studies.flow.run import run_flow

    with watching() as progress:
        run = run_flow(settings, progress)
        if asked.report:
            reported(run, progress)
    from repflow.report.show import summary

    summary(run)
    return 0


def _defaults(values: dict[str, object]) -> Flow:
    """What the YAML file says, under the flags."""
    subjects, report, named = taken_apart(values)
    settings = flow_settings(subjects, named)
    return Flow(settings.subjects, settings.task, settings.measure, settings.model, settings.output, report)
