"""The settings of `flow`: one sentence a field, the same in Python, on the command line and in a YAML file."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from repflow.core import POLICIES, BadSetting, least_replicates, local_path, unknown
from repflow.models.zoo import TRAINED
from repflow.studies.kit.fields import at_least, some_once

ZOO = tuple(f"zoo:{name}" for name in TRAINED)
"""What a command runs on when no subject is named."""

POSITIONS = 5

SINK_FACTOR = 10.0

LEAST_PERMUTATIONS = 19
"""Fewer cannot reach the level 0.05."""


@dataclass(frozen=True)
class TaskSettings:
    """What the models read."""

    task: tuple[str, ...] = ("text",)
    """Tasks: text, kvpr (key-value retrieval), mdqa (multi-document question answering); several at once."""
    context: tuple[int, ...] = (512,)
    """Tokens an example; for kvpr and mdqa the most an example may have. Several at once."""
    examples: int = 64
    """Examples a task and context, from all over the data. Intervals need 30 or more, of different units."""
    text: tuple[str, ...] = ()
    """Files (text, JSON Lines, CSV, TSV, parquet) or hf:DATASET[:CONFIG][:SPLIT]; without it six built-in texts."""
    pack: bool = True
    """Cut the joined text into full pieces; --no-pack makes every document an example of its own."""
    column: str | None = None
    """The column of a table, JSON file or dataset that holds the text; tables need it, others take `text`."""
    data: str | None = None
    """A published file (JSON Lines or array) for kvpr or mdqa, read instead of generating examples."""
    keys: Literal["auto", "uuid", "hex8", "hex4"] = "auto"
    """Length of generated kvpr keys and values; auto takes uuids unless fewer than four pairs would fit."""
    positions: int = POSITIONS
    """How many evenly spaced places the gold pair or document takes, in turn."""
    items: int | None = None
    """Pairs or documents a prompt has exactly; without it as many as --context holds."""
    bos: bool = False
    """Begin every example with the tokenizer's BOS; else packed text has none, and a prompt what its tokenizer adds."""

    def __post_init__(self) -> None:
        at_least("examples", self.examples, 1)
        at_least("positions", self.positions, 2)
        if self.items is not None:
            at_least("items", self.items, 2)
        for context in self.context:
            at_least("context", context, 4)
        some_once("task", self.task)
        some_once("context", self.context)
        for path in self.text:
            if not path:
                raise BadSetting("--text needs the name of a file, got an empty one")


@dataclass(frozen=True)
class MeasureSettings:
    """What is measured."""

    metrics: tuple[str, ...] = ()
    """Metrics by name, e.g. inter_token_cosine, cka, v_loc; without it all but the slow ones (see `repflow doctor`)."""
    tokens: tuple[str, ...] = ("all", "no_sink")
    """Which tokens count: all, no_special, no_sink (neither special nor of outlying norm)."""
    sink_factor: float = SINK_FACTOR
    """How many times the median norm at a site makes a token a sink."""
    sites: Literal["residual", "hf"] = "residual"
    """Where to read: the residual stream, or the list Hugging Face calls hidden states, for parity only."""
    calibration: int = 8
    """Further examples that centre and standardise the features; 0 leaves these variants out."""
    gram_tokens: int = 256
    """Tokens of an example that enter a Gram matrix (CKA, participation ratio); beyond it a fixed sample."""
    replicates: int = 200
    """Bootstrap replicates behind every interval."""
    permutations: int = 99
    """Permutations behind the null of CKA between two models; 0 leaves cross-model CKA out."""
    seed: int = 0
    """Seeds which examples are drawn or generated, bootstrap weights and permutations."""

    def __post_init__(self) -> None:
        if self.metrics:
            some_once("metrics", self.metrics)
            from repflow.metrics import measurable

            measurable(self.metrics)
        for policy in self.tokens:
            if policy not in POLICIES:
                raise unknown("token policy", policy, POLICIES)
        some_once("tokens", self.tokens)
        if self.calibration == 1 or self.calibration < 0:
            raise BadSetting(f"--calibration must be 0 or at least 2, got {self.calibration}")
        at_least("calibration", self.calibration, 0)
        if not 1 < self.sink_factor < math.inf:
            raise BadSetting(f"--sink-factor must be above 1 and finite, got {self.sink_factor}")
        if self.sink_factor != SINK_FACTOR and "no_sink" not in self.tokens:
            raise BadSetting(f"--sink-factor is for the token policy no_sink, the run has {', '.join(self.tokens)}")
        at_least("gram-tokens", self.gram_tokens, 4)
        at_least("replicates", self.replicates, least_replicates())
        if self.permutations < 0 or 0 < self.permutations < LEAST_PERMUTATIONS:
            raise BadSetting(f"--permutations must be 0 or at least {LEAST_PERMUTATIONS}, got {self.permutations}")
        at_least("permutations", self.permutations, 0)
        at_least("seed", self.seed, 0)


@dataclass(frozen=True)
class ModelSettings:
    """How the models are loaded and run."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of weights and states; auto is float32 on a CPU and the checkpoint's own on a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to run; auto takes a GPU when there is one."""
    batch_tokens: int = 0
    """Tokens a forward pass, padding included; 0 is 2,048 on a CPU and 16,384 on a GPU."""
    allow_extrapolation: bool = False
    """Read contexts longer than the model was trained on; recorded as a warning."""
    trust_remote_code: bool = False
    """Run Python code that comes with a model. Only for models you trust."""
    blocks: str | None = None
    """The module that lists the blocks, for a model repflow cannot find its way in."""
    final_norm: str | None = None
    """The module that is the final norm, likewise; none for a model that has no final norm."""

    def __post_init__(self) -> None:
        at_least("batch-tokens", self.batch_tokens, 0)


@dataclass(frozen=True)
class OutputSettings:
    """Where the results go."""

    out: Path | None = None
    """The run directory; without it a new one under runs/, named for the command and the time."""
    resume: bool = False
    """Finish the run that stands unfinished in --out."""
    overwrite: bool = False
    """Replace the run that stands in --out."""
    shard: int = 0
    """Examples between two checkpoints; 0 chooses."""

    def __post_init__(self) -> None:
        if self.out is not None:
            object.__setattr__(self, "out", local_path(self.out))
        at_least("shard", self.shard, 0)
        if self.out is None and (self.resume or self.overwrite):
            raise BadSetting(f"--{'resume' if self.resume else 'overwrite'} needs --out, the run directory it is about")


@dataclass(frozen=True)
class KeepSettings:
    """What is kept of the examples."""

    texts: bool = True
    """Keep the beginnings of two examples a task in tokens.parquet, for the page to show; --no-texts keeps none."""


@dataclass(frozen=True)
class FlowSettings:
    """Measure how representations flow through the depth of models, and write a run directory with its report.

    Example: repflow flow zoo:smollm2-135m --task text --text book.txt --context 512 --examples 64 --out runs/book

    --config FILE.yaml fills any of the settings below by name; flags win over it.
    """

    subjects: tuple[str, ...] = ZOO
    """Models: hub id, local directory, file.gguf, zoo:NAME or config:FAMILY[,key=value]..., each with @init=SCHEME."""
    task: TaskSettings = field(default_factory=TaskSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    keep: KeepSettings = field(default_factory=KeepSettings)

    def __post_init__(self) -> None:
        if not self.subjects:
            raise BadSetting("needs at least one subject")
        if len(set(self.subjects)) < len(self.subjects):
            raise BadSetting(f"a subject is named twice: {', '.join(self.subjects)}")


FREE = frozenset({"texts", "shard", "out", "resume", "overwrite"})
"""Settings a resumed run may change: they move no number by more than a rounding."""
