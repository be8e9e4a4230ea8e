"""The settings of `attribute`: one sentence a field, the same in Python, on the command line and in a YAML file."""

from dataclasses import dataclass, field

from repflow.core import BadSetting, unknown
from repflow.models.spec import GENERIC, SCHEMES, Init
from repflow.studies.kit.fields import at_least, some_once
from repflow.studies.kit.settings import ZOO, FlowSettings, MeasureSettings, ModelSettings, OutputSettings, TaskSettings

METRIC = "inter_token_cosine"


@dataclass(frozen=True)
class AttributionSettings:
    """How the weights are drawn anew, and what is measured of them."""

    schemes: tuple[str, ...] = ("config", "normal", "xavier", "kaiming", "orthogonal", "permuted")
    """How weights are drawn anew: config is the family's own way, permuted shuffles the trained values."""
    seeds: int = 5
    """Draws of each scheme, seeded from --seed on; a verdict needs 3, and more find more."""
    keep: bool = False
    """Leave as trained what a scheme has no rule of its own for (A_log, D, dt_bias, sinks, routing biases)."""
    matched: bool = True
    """Give normal, xavier, kaiming and orthogonal also with every block's update as large as the trained one's."""
    same_architecture: bool = False
    """The subjects are trainings of one architecture, not checkpoints of one training: also judge them together."""
    tokens: tuple[str, ...] = ("all", "no_sink")
    """Which tokens count: all, no_special, no_sink (neither special nor of outlying norm)."""
    calibration: int = 8
    """Further examples that centre and standardise the features; 0 leaves these variants out."""
    replicates: int = 200
    """Bootstrap replicates behind every interval."""
    keep_replicates: bool = True
    """Keep the replicates, which `repflow compare` pairs by and which are most of the bytes; no number needs them."""
    seed: int = 0
    """Seeds draws, examples and bootstrap weights."""

    def __post_init__(self) -> None:
        some_once("schemes", self.schemes)
        for scheme in self.schemes:
            if scheme not in SCHEMES:
                raise unknown("initialisation scheme", scheme, SCHEMES)
        at_least("seeds", self.seeds, 1)
        self.flow()

    def flow(self) -> MeasureSettings:
        """The same for one subject's flow. Raises BadSetting or UnknownName for a value out of range."""
        return MeasureSettings(
            metrics=(METRIC,),
            tokens=self.tokens,
            calibration=self.calibration,
            replicates=self.replicates,
            permutations=0,
            seed=self.seed,
        )

    @property
    def inits(self) -> tuple[Init, ...]:
        """Every draw, scheme by scheme, a generic one followed by itself at the trained scale."""
        return tuple(
            Init(scheme, self.seed + draw, self.keep, matched)
            for scheme in self.schemes
            for matched in ((False, True) if self.matched and scheme in GENERIC else (False,))
            for draw in range(self.seeds)
        )


@dataclass(frozen=True)
class AttributeSettings:
    """Say how much of the likeness of tokens a model's architecture shows with random weights.

    Example: repflow attribute zoo:smollm2-135m --text book.txt --context 512 --out runs/attribute

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tuple[str, ...] = ZOO
    """Models: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]..., without @init."""
    task: TaskSettings = field(default_factory=TaskSettings)
    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)

    def __post_init__(self) -> None:
        if self.attribution.same_architecture and len(self.subjects) < 2:
            raise BadSetting(f"--same-architecture takes two or more trainings together, got {len(self.subjects)}")
        self.flow()

    def flow(self) -> FlowSettings:
        """The same for the flow of its subjects. Raises BadSetting."""
        return FlowSettings(self.subjects, self.task, self.attribution.flow(), self.model, self.output)
