"""The settings of `train zoo`: one sentence a field."""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from repflow.core import BadSetting
from repflow.training.zoo.curriculum import CURRICULUM, Span, spans, with_lengths
from repflow.training.zoo.recipes import POSITIONS, RECIPES, recipe

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class LearningSettings:
    """What decides what the weights become. The preset fills what is not given."""

    preset: Literal["cpu", "gpu", "smoke"] = "cpu"
    """cpu: twenty to fifty minutes a model on one core; gpu: large batches; smoke: a minute's test of everything."""
    tokens: int = 0
    """Tokens to train on, in all, shared among the stages of the curriculum; 0 takes the preset's."""
    batch_tokens: int = 0
    """Tokens a step; 0 takes every stage's own."""
    micro_tokens: int = 0
    """Tokens computed at once, of a step's; moves results by roundings. 0: up to 1,024 on a CPU, all on a GPU."""
    lengths: tuple[int, ...] = ()
    """Lengths of the rows, growing in equal shares of the training, in place of the stages of the curriculum."""
    learning_rate: float = 2e-3
    """Highest learning rate, reached after a fiftieth of the tokens; it falls over the last quarter."""
    seed: int = 0
    """Seeds weights and data."""

    def __post_init__(self) -> None:
        for name in ("tokens", "batch_tokens", "micro_tokens", "seed"):
            if getattr(self, name) < 0:
                raise BadSetting(f"--{name.replace('_', '-')} must be 0 or more, got {getattr(self, name)}")
        if self.seed > LARGEST_SEED:
            raise BadSetting(f"--seed must be at most {LARGEST_SEED}, got {self.seed}")
        if not 0 < self.learning_rate < 1:
            raise BadSetting(f"--learning-rate must be between 0 and 1, got {self.learning_rate}")
        for length in self.lengths:
            if not 2 <= length <= POSITIONS:
                raise BadSetting(f"--lengths must be between 2 and {POSITIONS}, got {length}")

    @property
    def plan(self) -> list[Span]:
        """The stages as steps."""
        stages = with_lengths(self.lengths) if self.lengths else CURRICULUM
        if self.batch_tokens:
            stages = tuple(replace(stage, batch_tokens=self.batch_tokens) for stage in stages)
        return spans(stages, self.tokens)


@dataclass(frozen=True)
class PlaceSettings:
    """From what, where to and on what."""

    data: Path = Path("data")
    """Folder with texts (.txt) and questions (.jsonl) to learn from; its folder wikitext-2 is kept for evaluation."""
    out: Path = Path("runs/zoo")
    """Folder that gets a folder a model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    minutes: float = 0.0
    """Stop after so many minutes, with everything saved; --resume goes on. 0: no limit."""
    resume: bool = False
    """Go on from the newest checkpoints in --out."""
    overwrite: bool = False
    """Train anew over what is in --out."""

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            raise BadSetting("--resume and --overwrite contradict each other; give one of them")
        if not self.minutes >= 0:
            raise BadSetting(f"--minutes must be 0 or more, got {self.minutes}")


@dataclass(frozen=True)
class ZooSettings:
    """Everything `repflow train zoo` can be told."""

    models: tuple[str, ...] = tuple(RECIPES)
    """Which models, one after the other; every one reads the same data in the same order."""
    learning: LearningSettings = field(default_factory=LearningSettings)
    place: PlaceSettings = field(default_factory=PlaceSettings)

    def __post_init__(self) -> None:
        if not self.models:
            raise BadSetting("needs at least one model to train")
        for name in self.models:
            recipe(name)
        if len(set(self.models)) < len(self.models):
            raise BadSetting(f"a model is named twice: {', '.join(self.models)}")


PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"tokens": 6_000_000},
    "gpu": {"tokens": 300_000_000, "batch_tokens": 81_920},
    "smoke": {"tokens": 120_000, "batch_tokens": 512, "lengths": (32, 64)},
}


def filled(learning: LearningSettings) -> LearningSettings:
    """The settings with the preset's values where none was given."""
    chosen = {name: value for name, value in PRESETS[learning.preset].items() if not getattr(learning, name)}
    return replace(learning, **chosen)


def told(learning: LearningSettings) -> dict[str, Any]:
    """The values that tell one training from another, for the marker and the card."""
    return {name: value for name, value in asdict(learning).items() if name != "preset"}


def options(learning: LearningSettings) -> str:
    """The command-line options that give these settings, in short."""
    given = [f"--preset {learning.preset}"]
    chosen = PRESETS[learning.preset]
    for f in fields(learning):
        value = getattr(learning, f.name)
        if f.name != "preset" and value != chosen.get(f.name, f.default):
            text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            given.append(f"--{f.name.replace('_', '-')} {text}")
    return " ".join(given)
