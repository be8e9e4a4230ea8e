"""The settings of `ablate`: one sentence a field, the same in Python, on the command line and in a YAML file."""

from dataclasses import dataclass, field
from typing import Any

from repflow.core import BadSetting
from repflow.studies.ablate.changes import Change, parse_change, refuse_placed
from repflow.studies.kit.fields import at_least, flat_sections, sections, some_once
from repflow.studies.kit.settings import ZOO, FlowSettings, MeasureSettings, ModelSettings, OutputSettings, TaskSettings

NEW_TOKENS = 100
METRICS = ("inter_token_cosine", "adjacent_cosine", "update_ratio", "norm")


@dataclass(frozen=True)
class ChangeSettings:
    """What is changed in the models."""

    what: tuple[str, ...] = ()
    """Changes NAME[:VALUE][,BLOCKS], each by itself or joined by +; without any, all that a model can have."""
    windows: tuple[int, ...] = ()
    """Also attention_window with each of these numbers of tokens."""
    each_block: bool = False
    """Make every change in one block at a time."""

    def __post_init__(self) -> None:
        if self.what:
            some_once("what", self.what)
        if self.windows:
            some_once("windows", self.windows)
        for window in self.windows:
            at_least("windows", window, 1)
        named = self.named
        twice = [change.text for change in named if named.count(change) > 1]
        if twice:
            raise BadSetting(f"the change {twice[0]} is asked for twice")
        if self.each_block:
            refuse_placed(named)

    @property
    def named(self) -> tuple[Change, ...]:
        """The changes asked for by name. Raises BadSetting or UnknownName."""
        windows = (f"attention_window:{window}" for window in self.windows)
        return tuple(parse_change(item) for item in (*self.what, *windows))


@dataclass(frozen=True)
class AblateMeasureSettings:
    """What is measured before and after."""

    metrics: tuple[str, ...] = METRICS
    """Metrics by name, as in flow."""
    tokens: tuple[str, ...] = ("all", "no_sink")
    """Which tokens count: all, no_special, no_sink (neither special nor of outlying norm)."""
    calibration: int = 0
    """Further examples that centre and standardise the features; 0 leaves these variants out."""
    generate: bool = True
    """Also let the models answer the prompts of kvpr and mdqa, and score the answers."""
    new_tokens: int = NEW_TOKENS
    """The most tokens of an answer."""
    replicates: int = 200
    """Bootstrap replicates behind every interval."""
    seed: int = 0
    """Seeds generated examples and bootstrap weights."""

    def __post_init__(self) -> None:
        some_once("metrics", self.metrics)
        at_least("new-tokens", self.new_tokens, 1)
        if self.new_tokens != NEW_TOKENS and not self.generate:
            raise BadSetting("--new-tokens is the length of answers, and --no-generate asks for none; drop one of them")
        self.flow()

    def flow(self) -> MeasureSettings:
        """The same for one subject's flow. Raises BadSetting or UnknownName for a value out of range."""
        return MeasureSettings(
            metrics=self.metrics,
            tokens=self.tokens,
            calibration=self.calibration,
            replicates=self.replicates,
            permutations=0,
            seed=self.seed,
        )


@dataclass(frozen=True)
class AblateSettings:
    """Everything `repflow ablate` can be told."""

    subjects: tuple[str, ...] = ZOO
    """Models: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]..., each with @init=SCHEME."""
    changes: ChangeSettings = field(default_factory=ChangeSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    measure: AblateMeasureSettings = field(default_factory=AblateMeasureSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)

    def __post_init__(self) -> None:
        self.flow()

    def flow(self) -> FlowSettings:
        """The same for the flow of its subjects. Raises BadSetting."""
        return FlowSettings(self.subjects, self.task, self.measure.flow(), self.model, self.output)


ABLATE_GROUPS: dict[str, type[Any]] = {
    "changes": ChangeSettings,
    "task": TaskSettings,
    "measure": AblateMeasureSettings,
    "model": ModelSettings,
    "output": OutputSettings,
}


def ablate_settings(subjects: tuple[str, ...], values: dict[str, Any]) -> AblateSettings:
    """Settings from flat names, as in Python and YAML.

    Raises UnknownName for a name that is no setting, BadSetting for a value out of range.
    """
    return AblateSettings(subjects, **sections(ABLATE_GROUPS, values))


def flat_ablate(settings: AblateSettings) -> dict[str, Any]:
    """The settings under their flat names, as run.json keeps them."""
    return flat_sections(settings, ABLATE_GROUPS)
