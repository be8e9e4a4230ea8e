"""repflow ablate"""

from dataclasses import dataclass, field

import tyro

from repflow.cli._arguments import parse
from repflow.cli._progress import watching
from repflow.cli._study import reported, study_values, taken_apart
from repflow.studies.ablate.settings import AblateMeasureSettings, AblateSettings, ChangeSettings, ablate_settings
from repflow.studies.kit.settings import ZOO, ModelSettings, OutputSettings, TaskSettings


@dataclass(frozen=True)
class Ablate:
    """Measure what a change inside a model does to its flow, its next-token loss and its answers.

    Example: repflow ablate zoo:mamba-tiny --what ssm_no_conv+ssm_no_gate norm_reset:final --out runs/ablate

    Changes, each of one part in every block that has it, or in those named behind it (block.3, block.0-5, final):
    norm_reset (weight neutral, bias 0), norm_removed, attention_window:64 (tokens), attention_uniform, attention_self,
    residual_scaled:0.5 (the block's update times that), residual_cut (the update alone), ssm_freeze_dt, ssm_no_conv,
    ssm_no_gate, ssm_clamp_a:0 or :-inf (perhaps :-inf:0.5, half the channels). Every change is undone before the next.

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tyro.conf.Positional[tuple[str, ...]] = ZOO
    """Models, named before the options: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]...,
    each with @init=SCHEME[:SEED] if its weights are to be drawn anew, and @ablate=NAME[:VALUE][,BLOCKS] if a
    part of it is to be changed."""
    changes: ChangeSettings = field(default_factory=ChangeSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    measure: AblateMeasureSettings = field(default_factory=AblateMeasureSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    report: bool = True
    """Write report.html beside the numbers; `repflow report DIR` makes it later."""


def ablate(arguments: list[str]) -> int:
    """Run the study, write its report, print its summary."""
    values, rest = study_values(arguments)
    asked = parse(Ablate, "ablate", rest, _defaults(values))
    settings = AblateSettings(asked.subjects, asked.changes, asked.task, asked.measure, asked.model, asked.output)
    from repflow.studies.ablate.run import run_ablate

    with watching() as progress:
        run = run_ablate(settings, progress)
        if asked.report:
            reported(run, progress)
    from repflow.report.show import summary

    summary(run)
    return 0


def _defaults(values: dict[str, object]) -> Ablate:
    """What the YAML file says, under the flags."""
    subjects, report, named = taken_apart(values)
    s = ablate_settings(subjects, named)
    return Ablate(s.subjects, s.changes, s.task, s.measure, s.model, s.output, report)
