"""The settings of `probe`: one sentence a field, the same in Python, on the command line and in a YAML file."""

from dataclasses import dataclass, field
from typing import Literal

from repflow.core import BadSetting, unknown
from repflow.core.places import parse_places
from repflow.studies.kit.fields import at_least, some_once
from repflow.studies.kit.settings import FREE, POSITIONS, ZOO, ModelSettings, OutputSettings
from repflow.studies.probe.verdicts import TARGETS

NEW_TOKENS = 100

TASKS = ("kvpr", "mdqa")
WITH_VALUES = ("kvpr",)
"""Tasks whose prompts hold a list of possible answers."""


@dataclass(frozen=True)
class ProbeTaskSettings:
    """What the models read, and the probes have to find in it."""

    task: tuple[str, ...] = ("kvpr",)
    """Tasks: kvpr (key-value retrieval), mdqa (multi-document question answering); both at once."""
    context: tuple[int, ...] = (1000,)
    """The most tokens a prompt may have; several at once."""
    examples: int = 100
    """Questions, or sets of pairs; each is read with its gold at every position. 30 or more make an interval good."""
    data: str | None = None
    """A published JSONL(.gz) file for kvpr or mdqa, read instead of generating examples."""
    keys: Literal["auto", "uuid", "hex8", "hex4", "pairs"] = "auto"
    """Generated kvpr keys and values: auto takes uuids unless too few fit; pairs are single tokens of the tokenizer."""
    divided: bool = False
    """Draw the keys and the values of kvpr from two sets that have nothing in common."""
    positions: int = POSITIONS
    """How many evenly spaced places the gold pair or document takes: the classes of the probes."""
    items: int | None = None
    """Pairs or documents a prompt has exactly; without it as many as --context holds."""
    bos: bool = False
    """Begin every prompt with the tokenizer's BOS; without it a prompt begins as the tokenizer has it."""

    def __post_init__(self) -> None:
        for task in self.task:
            if task == "text":
                raise BadSetting("the task text has no gold to look for; probe kvpr or mdqa")
            if task not in TASKS:
                raise unknown("task", task, TASKS)
        some_once("task", self.task)
        if self.data is not None and len(self.task) > 1:
            raise BadSetting("--data holds pairs or questions, not both; probe kvpr and mdqa apart")
        if self.keys != "auto" and "kvpr" not in self.task:
            raise BadSetting("--keys is for the task kvpr, the run has mdqa")
        if self.divided and "kvpr" not in self.task:
            raise BadSetting("--divided is for the task kvpr, the run has mdqa")
        some_once("context", self.context)
        at_least("examples", self.examples, 1)
        at_least("positions", self.positions, 2)
        if self.items is not None:
            at_least("items", self.items, 2)
        for context in self.context:
            at_least("context", context, 4)


@dataclass(frozen=True)
class ProbingSettings:
    """How the probes are trained, and what stands beside them."""

    target: tuple[str, ...] = ()
    """What to look for: position of the gold, value asked for (kvpr); without it both where the task has both."""
    places: tuple[str, ...] = ("last", "ask")
    """Where to read: last prompt token, ask (just before the answers differ), gold (its end), mean, even:N; several."""
    solver: Literal["adam", "lbfgs"] = "adam"
    """adam: the published protocol; lbfgs: the best linear readout, its strength chosen by cross-validation."""
    seeds: int = 5
    """Splits into training and test groups, each with probes of its own."""
    control: bool = True
    """Also train probes on labels permuted per group (selectivity) and on labels only memory can tell (capacity)."""
    baseline: Literal["none", "init"] = "none"
    """init: the same on each subject with its weights drawn anew by the family's own initialisation."""
    generate: bool = True
    """Also let the models answer, and score the answers."""
    new_tokens: int = NEW_TOKENS
    """The most tokens of an answer."""
    keep_features: bool = False
    """Keep the feature files in the run directory."""
    seed: int = 0
    """Seeds generated examples, splits, controls and bootstrap weights."""

    def __post_init__(self) -> None:
        parse_places(self.places)
        for target in self.target:
            if target not in TARGETS:
                raise unknown("target", target, TARGETS)
        if self.target:
            some_once("target", self.target)
        at_least("seeds", self.seeds, 1)
        at_least("new-tokens", self.new_tokens, 1)
        at_least("seed", self.seed, 0)
        if self.new_tokens != NEW_TOKENS and not self.generate:
            raise BadSetting("--new-tokens is the length of answers, and --no-generate asks for none; drop one of them")


@dataclass(frozen=True)
class ProbeSettings:
    """Find where in depth a task's answer is linearly readable, and whether the model says it.

    Example: repflow probe zoo:smollm2-135m --task mdqa --items 10 --context 2000 --out runs/probe

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tuple[str, ...] = ZOO
    """Models: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]..., each with @init=SCHEME."""
    task: ProbeTaskSettings = field(default_factory=ProbeTaskSettings)
    probing: ProbingSettings = field(default_factory=ProbingSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)

    def __post_init__(self) -> None:
        if not self.subjects:
            raise BadSetting("needs at least one subject")
        lacking = [task for task in self.task.task if task not in WITH_VALUES]
        if "value" in self.probing.target and lacking:
            raise BadSetting(
                f"--target value chooses among the values of a prompt, and {lacking[0]} has no list of them; "
                "probe kvpr, or leave it out"
            )


PROBE_FREE = FREE | {"keep_features"}
"""Settings a resumed run may change."""
