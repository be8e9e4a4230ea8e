"""repflow dynamics"""

from dataclasses import dataclass, field

import tyro

from repflow.cli._arguments import parse
from repflow.cli._progress import watching
from repflow.cli._study import reported, study_values, taken_apart
from repflow.studies.dynamics.settings import EXAMPLES, DynamicsMeasureSettings, DynamicsSettings, dynamics_settings
from repflow.studies.kit.settings import ZOO, ModelSettings, OutputSettings, TaskSettings


@dataclass(frozen=True)
class Dynamics:
    """Measure how fast state-space blocks forget and how far back each model's influence reaches, beside the bounds.

    Example: repflow dynamics zoo:mamba-tiny zoo:pythia-tiny --context 256 --out runs/dynamics

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tyro.conf.Positional[tuple[str, ...]] = ZOO
    """Models, named before the options: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...,
    each with @init=SCHEME[:SEED] if its weights are to be drawn anew, and @ablate=NAME[:VALUE][,BLOCKS] if a
    part of it is to be changed."""
    task: TaskSettings = field(default_factory=lambda: TaskSettings(examples=EXAMPLES))
    measure: DynamicsMeasureSettings = field(default_factory=DynamicsMeasureSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    report: bool = True
    """Write report.html beside the numbers; `repflow report DIR` makes it later."""


def dynamics(arguments: list[str]) -> int:
    """Run the study, write its report, print its summary."""
    values, rest = study_values(arguments)
    asked = parse(Dynamics, "dynamics", rest, _defaults(values))
    settings = DynamicsSettings(asked.subjects, asked.task, asked.measure, asked.model, asked.output)
    from repflow.studies.dynamics.run import run_dynamics

    with watching() as progress:
        run = run_dynamics(settings, progress)
        if asked.report:
            reported(run, progress)
    from repflow.report.show import summary

    summary(run)
    return 0


def _defaults(values: dict[str, object]) -> Dynamics:
    """What the YAML file says, under the flags."""
    subjects, report, named = taken_apart(values)
    settings = dynamics_settings(subjects, named)
    return Dynamics(settings.subjects, settings.task, settings.measure, settings.model, settings.output, report)
