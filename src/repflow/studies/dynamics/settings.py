"""The settings of `dynamics`: one sentence a field, the same in Python, on the command line and in a YAML file."""

from dataclasses import dataclass, field

from repflow.core import BadSetting
from repflow.studies.kit.fields import at_least
from repflow.studies.kit.settings import ZOO, FlowSettings, MeasureSettings, ModelSettings, OutputSettings, TaskSettings


@dataclass(frozen=True)
class DynamicsMeasureSettings:
    """What is measured."""

    influence_tokens: int = 2
    """Tokens of an example whose dependence on the tokens before them is measured; 0 leaves influence out."""
    directions: int = 1
    """Random directions a token, each one more backward pass; more examples do more for the intervals."""
    max_distance: int = 0
    """The longest distance of influence in tokens; 0 is just under half the shortest example."""
    tokens: tuple[str, ...] = ("all", "no_sink")
    """Whose paths count: all, no_special, no_sink (neither special nor of outlying norm)."""
    replicates: int = 200
    """Bootstrap replicates behind every interval."""
    seed: int = 0
    """Seeds generated examples, random directions and bootstrap weights."""

    def __post_init__(self) -> None:
        at_least("influence-tokens", self.influence_tokens, 0)
        at_least("directions", self.directions, 1)
        at_least("max-distance", self.max_distance, 0)
        if not self.influence_tokens and (self.directions != 1 or self.max_distance):
            raise BadSetting("--directions and --max-distance are for influence, which --influence-tokens 0 leaves out")
        self.flow()

    def flow(self) -> MeasureSettings:
        """The same for one subject's flow. Raises BadSetting or UnknownName for a value out of range."""
        return MeasureSettings(
            tokens=self.tokens, calibration=0, replicates=self.replicates, permutations=0, seed=self.seed
        )


EXAMPLES = 32
"""Fewer than flow reads: gradients cost more."""


@dataclass(frozen=True)
class DynamicsSettings:
    """Measure how fast state-space blocks forget and how far back each model's influence reaches, beside the bounds.

    Example: repflow dynamics zoo:mamba-tiny zoo:pythia-tiny --context 256 --out runs/dynamics

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tuple[str, ...] = ZOO
    """Models: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]..., each with @init=SCHEME."""
    task: TaskSettings = field(default_factory=lambda: TaskSettings(examples=EXAMPLES))
    measure: DynamicsMeasureSettings = field(default_factory=DynamicsMeasureSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)

    def __post_init__(self) -> None:
        self.flow()

    def flow(self) -> FlowSettings:
        """The same for the flow of its subjects. Raises BadSetting."""
        return FlowSettings(self.subjects, self.task, self.measure.flow(), self.model, self.output)
