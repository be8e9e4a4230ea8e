"""What each preset measures: the settings of the runs inside a paper run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from repflow.core import local_path
from repflow.studies.ablate.settings import AblateMeasureSettings, AblateSettings, ChangeSettings
from repflow.studies.attribute.settings import AttributeSettings, AttributionSettings
from repflow.studies.dynamics.settings import DynamicsMeasureSettings, DynamicsSettings
from repflow.studies.kit.saying import LAST_LEFT_OUT
from repflow.studies.kit.settings import ZOO, FlowSettings, KeepSettings, MeasureSettings, OutputSettings, TaskSettings
from repflow.studies.paper.settings import PARTS, PaperSettings, StudySettings
from repflow.studies.probe.settings import ProbeSettings, ProbeTaskSettings, ProbingSettings

ORIGINAL = (
    "EleutherAI/gpt-neo-2.7B",
    "EleutherAI/pythia-2.8b",
    "state-spaces/mamba-2.8b-hf",
    "AntonV/mamba2-2.7b-hf",
    "AntonV/mamba2-130m-hf",
)
"""The paper's five by hub id; of Mamba-2 the same weights in the form that transformers reads."""
_CHANGES = ("norm_reset", "norm_removed", LAST_LEFT_OUT)
_HF_METRICS = ("adjacent_cosine", "inter_token_cosine", "path")
_ANSWER = 16
"""Tokens of an answer in quick: keys of four hex digits are two, and no answer goes on for long."""

Keys = Literal["auto", "uuid", "hex8", "hex4", "pairs"]


@dataclass(frozen=True)
class Preset:
    """How much of everything."""

    context: int
    examples: int
    kvpr_contexts: tuple[int, ...]
    mdqa_contexts: tuple[int, ...]
    sets: int
    """Of pairs, for kvpr."""
    questions: int
    """For mdqa."""
    keys: Keys
    positions: int
    items: int | None
    """Documents a question; None for as many as the context holds."""
    new_tokens: int
    schemes: tuple[str, ...]
    draws: int
    matched: bool
    windows: tuple[int, ...]
    traced: int
    """Pieces of text of which transitions, bounds and influence are read."""


PRESETS: Mapping[str, Preset] = {
    "quick": Preset(256, 32, (130, 200), (500,), 50, 30, "hex4", 5, 3, _ANSWER, ("config",), 3, False, (32,), 16),
    "full": Preset(
        512, 64, (150, 300, 600), (700, 1000), 100, 100, "hex4", 5, None, 100,
        ("config", "normal", "xavier", "kaiming", "orthogonal", "permuted"), 5, True, (16, 64, 256), 32,
    ),
    "original": Preset(
        1000, 64, (300, 1000, 2000), (1000, 2000), 100, 100, "uuid", 5, None, 100,
        ("config", "normal", "xavier", "kaiming", "orthogonal"), 3, False, (64, 256), 16,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A run inside the run."""

    name: str
    """Its directory inside the run."""
    study: str
    settings: Any
    """The settings of the study, without an output."""

    def at(self, directory: Path, *, resume: bool, overwrite: bool, shard: int) -> "Part":
        """The same, written into its place in a directory."""
        output = OutputSettings(directory / self.name, resume, overwrite, shard)
        return replace(self, settings=replace(self.settings, output=output))


def subjects_of(settings: PaperSettings) -> tuple[str, ...]:
    """The models of a run: the paper's five where `original` is asked for and no model is named."""
    default = settings.study.preset == "original" and settings.subjects == ZOO
    return ORIGINAL if default else settings.subjects


def parts_of(settings: PaperSettings) -> tuple[Part, ...]:
    """The runs asked for, in order. Raises BadSetting."""
    study = settings.study
    preset = _wanted(study)
    subjects = subjects_of(settings)
    makers: Mapping[str, Callable[[], Any]] = {
        "flow": lambda: replace(
            _flow(subjects, settings, preset, MeasureSettings(permutations=0, seed=study.seed)), keep=settings.keep
        ),
        "flow-hf": lambda: _flow(
            subjects, settings, preset,
            MeasureSettings(metrics=_HF_METRICS, sites="hf", calibration=0, permutations=0, seed=study.seed),
        ),
        "probe-kvpr": lambda: _probe(subjects, settings, preset, "kvpr"),
        "probe-mdqa": lambda: _probe(subjects, settings, preset, "mdqa"),
        "attribute": lambda: AttributeSettings(
            subjects,
            _text(study, preset),
            AttributionSettings(preset.schemes, preset.draws, matched=preset.matched, seed=study.seed),
            settings.model,
        ),
        "ablate": lambda: AblateSettings(
            subjects,
            ChangeSettings(_CHANGES, preset.windows),
            _text(study, preset),
            AblateMeasureSettings(("inter_token_cosine",), generate=False, calibration=8, seed=study.seed),
            settings.model,
        ),
        "dynamics": lambda: DynamicsSettings(
            subjects,
            replace(_text(study, preset), examples=study.examples or preset.traced),
            DynamicsMeasureSettings(seed=study.seed),
            settings.model,
        ),
    }  # fmt: skip
    return tuple(Part(name, name.partition("-")[0], makers[name]()) for name in PARTS if name in study.parts)


def checked_parts(settings: PaperSettings) -> tuple[Part, ...]:
    """The same, with every model and file looked up before anything is measured or replaced. Raises a CallerError."""
    from repflow.studies.kit.preflight import subject_specs
    from repflow.studies.kit.tasks import assignments
    from repflow.studies.probe.reading import probe_assignments
    from repflow.tasks.files import check_file

    subject_specs(subjects_of(settings))
    study = settings.study
    for name in filter(None, (*study.text, study.kvpr_data, study.mdqa_data)):
        if not name.startswith("hf:") and not local_path(name).is_dir():
            check_file(local_path(name))
    parts = parts_of(settings)
    for part in parts:
        if part.study == "probe":
            probe_assignments(part.settings)
        else:
            assignments(part.settings.task)
    return parts


def _wanted(study: StudySettings) -> Preset:
    preset = PRESETS[study.preset]
    return replace(
        preset,
        context=study.context or preset.context,
        examples=study.examples or preset.examples,
        kvpr_contexts=study.kvpr_contexts or preset.kvpr_contexts,
        mdqa_contexts=study.mdqa_contexts or preset.mdqa_contexts,
        sets=study.sets or preset.sets,
        questions=study.sets or preset.questions,
        keys=study.keys if study.keys != "preset" else "auto" if study.kvpr_data else preset.keys,
        items=None if study.mdqa_contexts else preset.items,
    )


def _text(study: StudySettings, preset: Preset) -> TaskSettings:
    return TaskSettings(context=(preset.context,), examples=preset.examples, text=study.text)


def _flow(subjects: tuple[str, ...], settings: PaperSettings, preset: Preset, measure: MeasureSettings) -> FlowSettings:
    return FlowSettings(
        subjects, _text(settings.study, preset), measure, settings.model, keep=KeepSettings(texts=False)
    )


def _probe(subjects: tuple[str, ...], settings: PaperSettings, preset: Preset, task: str) -> ProbeSettings:
    kvpr = task == "kvpr"
    read = ProbeTaskSettings(
        (task,),
        preset.kvpr_contexts if kvpr else preset.mdqa_contexts,
        preset.sets if kvpr else preset.questions,
        settings.study.kvpr_data if kvpr else settings.study.mdqa_data,
        preset.keys if kvpr else "auto",
        positions=preset.positions if kvpr or preset.items is None else min(preset.positions, preset.items),
        items=None if kvpr else preset.items,
    )
    probing = ProbingSettings(new_tokens=preset.new_tokens, seed=settings.study.seed)
    return ProbeSettings(subjects, read, probing, settings.model)
