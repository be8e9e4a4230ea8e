"""The settings of `ablate`: one sentence a field, the same in Python, on the command line and in a YAML file."""

from dataclasses import dataclass, field

from repflow.core import BadSetting
from repflow.studies.ablate.changes import Change, parse_change, refuse_placed
from repflow.studies.kit.fields import at_least, some_once
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
    """Measure what a change inside a model does to its flow, its next-token loss and its answers.

    Example: repflow ablate zoo:mamba-tiny --what ssm_no_conv+ssm_no_gate norm_reset:final --out runs/ablate

    Changes, each of one part in every block that has it, or in those named behind it (block.3, block.0-5, final, and
    block.-1 for the last block): norm_reset (weight neutral, bias 0), norm_removed, attention_window:64 (tokens),
    attention_uniform, attention_self, residual_scaled:0.5 (the block's update times that), residual_cut (the update
    alone), ssm_freeze_dt, ssm_no_conv, ssm_no_gate, ssm_clamp_a:0 or :-inf (perhaps :-inf:0.5, half the channels).
    Every change is undone before the next.

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

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
