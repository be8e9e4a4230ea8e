"""repflow attribute"""

from dataclasses import dataclass, field

import tyro

from repflow.cli._arguments import parse
from repflow.cli._progress import watching
from repflow.cli._study import reported, study_values, taken_apart
from repflow.studies.attribute.settings import AttributeSettings, AttributionSettings, attribute_settings
from repflow.studies.kit.settings import ZOO, ModelSettings, OutputSettings, TaskSettings


@dataclass(frozen=True)
class Attribute:
    """Say how much of the likeness of tokens a model's architecture shows with random weights.

    Example: repflow attribute zoo:smollm2-135m --text book.txt --context 512 --out runs/attribute

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tyro.conf.Positional[tuple[str, ...]] = ZOO
    """Models, named before the options: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...,
    without @init; @ablate=NAME[:VALUE][,BLOCKS] changes a part of it, trained and drawn."""
    task: TaskSettings = field(default_factory=TaskSettings)
    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    report: bool = True
    """Write report.html beside the numbers; `repflow report DIR` makes it later."""


def attribute(arguments: list[str]) -> int:
    """Run the study, write its report, print its summary."""
    values, rest = study_values(arguments)
    asked = parse(Attribute, "attribute", rest, _defaults(values))
    settings = AttributeSettings(asked.subjects, asked.task, asked.attribution, asked.model, asked.output)
    from repflow.studies.attribute.run import run_attribute

    with watching() as progress:
        run = run_attribute(settings, progress)
        if asked.report:
            reported(run, progress)
    from repflow.report.show import summary

    summary(run)
    return 0


def _defaults(values: dict[str, object]) -> Attribute:
    """What the YAML file says, under the flags."""
    subjects, report, named = taken_apart(values)
    settings = attribute_settings(subjects, named)
    return Attribute(settings.subjects, settings.task, settings.attribution, settings.model, settings.output, report)
