"""repflow probe"""

from dataclasses import dataclass, field

import tyro

from repflow.cli._arguments import parse
from repflow.cli._progress import watching
from repflow.cli._study import reported, study_values, taken_apart
from repflow.studies.kit.settings import ZOO, ModelSettings, OutputSettings
from repflow.studies.probe.settings import ProbeSettings, ProbeTaskSettings, ProbingSettings, probe_settings


@dataclass(frozen=True)
class Probe:
    """Find where in depth a task's answer is linearly readable, and whether the model says it.

    Example: repflow probe zoo:smollm2-135m --task mdqa --items 10 --context 2000 --out runs/probe

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tyro.conf.Positional[tuple[str, ...]] = ZOO
    """Models, named before the options: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...,
    each with @init=SCHEME[:SEED] if its weights are to be drawn anew, and @ablate=NAME[:VALUE][,BLOCKS] if a
    part of it is to be changed."""
    task: ProbeTaskSettings = field(default_factory=ProbeTaskSettings)
    probing: ProbingSettings = field(default_factory=ProbingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    report: bool = True
    """Write report.html beside the numbers; `repflow report DIR` makes it later."""


def probe(arguments: list[str]) -> int:
    """Run the study, write its report, print its summary."""
    values, rest = study_values(arguments)
    asked = parse(Probe, "probe", rest, _defaults(values))
    settings = ProbeSettings(asked.subjects, asked.task, asked.probing, asked.model, asked.output)
    from repflow.studies.probe.run import run_probe

    with watching() as progress:
        run = run_probe(settings, progress)
        if asked.report:
            reported(run, progress)
    from repflow.report.show import summary

    summary(run)
    return 0


def _defaults(values: dict[str, object]) -> Probe:
    """What the YAML file says, under the flags."""
    subjects, report, named = taken_apart(values)
    settings = probe_settings(subjects, named)
    return Probe(settings.subjects, settings.task, settings.probing, settings.model, settings.output, report)
