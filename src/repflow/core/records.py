"""The records every part of repflow exchanges. Plain frozen data: no torch, no behaviour beyond checks."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Literal

Kind = Literal["TBM", "SSM", "linear attention", "convolution", "recurrent", "hybrid", "other"]
"""What mixes tokens in a model's blocks: attention (TBM), one of four other kinds of mixer, several kinds (hybrid), or
nothing that is known."""


POLICIES = ("all", "no_special", "no_sink")
"""Which tokens count: all; all but BOS, EOS and the like; neither those nor tokens of outlying norm."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place on the residual stream. See `sites_for` for the contract."""

    name: str
    index: int
    depth: float
    """Relative depth in [0, 1]: 0 at `embed`, (i+1)/L after block i, 1 at `final_norm`."""
    normed: bool = False
    """Holds the output of the final norm under another name."""

    @property
    def is_final_norm(self) -> bool:
        """The output of the final norm is no step of the residual stream: paths leave it out."""
        return self.normed or self.name == "final_norm"


def sites_for(n_blocks: int) -> tuple[Site, ...]:
    """The L+2 sites of a model with L blocks: `embed`, `block.0` .. `block.L-1`, `final_norm`."""
    if n_blocks < 1:
        raise ValueError(f"a model needs at least one block, got {n_blocks}")
    blocks = (Site(f"block.{i}", i + 1, (i + 1) / n_blocks) for i in range(n_blocks))
    return (Site("embed", 0, 0.0), *blocks, Site("final_norm", n_blocks + 1, 1.0))


@dataclass(frozen=True, slots=True)
class Tap:
    """Where a site is read: the input or the output of a module, by its name in `model.named_modules()`."""

    site: Site
    module: str
    where: Literal["input", "output"] = "output"


def block_taps(taps: Sequence[Tap]) -> tuple[Tap, ...]:
    """The taps of the blocks' outputs, in order: neither `embed` nor the final norm, which a model may lack."""
    return tuple(tap for tap in taps if tap.site.name.startswith("block."))


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt, tokenised. `id` is its place in the task's order."""

    id: int
    ids: tuple[int, ...]
    """Token ids of the prompt, special tokens included where the task adds them."""
    prompt: str = ""
    group: int = 0
    """Examples of one question, or one set of pairs, share a group."""
    gold_position: int | None = None
    """Index of the gold pair or document, from 0."""
    n_positions: int | None = None
    """How many places the gold could have had: the number of pairs or documents."""
    gold_span: tuple[int, int] | None = None
    """Token range [start, end) of the gold pair or document in `ids`."""
    answers: tuple[str, ...] = ()
    gold_class: int | None = None
    """Which of the task's evenly spaced places the gold was put at, from 0: the label of a position probe."""
    unit: int | None = None
    """What is resampled together: examples of one document, one block of a text, one question, share a unit."""
    source: str = ""
    """The file or data set it comes from, where there are several."""
    choices: tuple[str, ...] = ()
    """How the prompt would go on with each of the answers that stand in it, in the prompt's order; the right one is at
    `gold_position`. Empty where the task has no such list."""

    @property
    def unit_id(self) -> int:
        """The key of the example's bootstrap weights: its unit, or its own id where it has none."""
        return self.id if self.unit is None else self.unit


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row comes from."""

    subject: str
    family: str
    init: str
    """`trained`, or the re-initialisation scheme with its seed (`normal:0`)."""
    task: str
    context: int
    step: int | None = None
    """The optimiser step at which a model in training was measured; None for a model as it stands."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, its 95% interval (NaN where none can be given) and the examples behind it."""

    value: float
    ci_low: float
    ci_high: float
    n_examples: int


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One number at one site: a line of layers.parquet."""

    subject: str
    family: str
    init: str
    task: str
    context: int
    site: str
    site_index: int
    depth: float
    metric: str
    variant: str
    tokens: str
    value: float
    ci_low: float
    ci_high: float
    n_examples: int
    n_tokens: int
    """Tokens that the policy counts at the site, over all examples; a metric of pairs or of a sample uses fewer."""
    step: int | None = None
    """The optimiser step at which a model in training was measured; None for a model as it stands."""
    n_units: int | None = None
    """Resampling units behind the value; None in a run that did not count them."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """One number for two sites, of one subject or of two: a line of pairs.parquet."""

    subject_a: str
    site_a: str
    depth_a: float
    subject_b: str
    site_b: str
    depth_b: float
    task: str
    context: int
    metric: str
    variant: str
    tokens: str
    value: float
    ci_low: float
    ci_high: float
    n_examples: int
    step: int | None = None
    n_units: int | None = None
    """Resampling units behind the value; None in a run that did not count them."""


@dataclass(frozen=True, slots=True)
class PathRow:
    """One number for a subject's whole path through depth: a line of paths.parquet."""

    subject: str
    task: str
    context: int
    metric: str
    variant: str
    tokens: str
    value: float
    ci_low: float
    ci_high: float
    n_examples: int
    step: int | None = None
    n_units: int | None = None
    """Resampling units behind the value; None in a run that did not count them."""


@dataclass(frozen=True, slots=True)
class SubjectFacts:
    """What a run records of a subject."""

    label: str
    """The spec string, which is also the subject's name in every row."""
    family: str
    """The architecture's `model_type`, e.g. `gpt_neox`, `mamba2`."""
    kind: Kind
    init: str
    n_parameters: int
    n_blocks: int
    width: int
    max_positions: int | None
    """Trained positions, or None where the architecture has no such limit."""
    dtype: str
    weights_sha256: str
    tokenizer_sha256: str
    """Two subjects with the same value read the same token ids."""
    reinitialised: tuple[str, ...] = ()
    """Names of the tensors a re-initialisation scheme changed."""
    interventions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Names of the tensors a re-initialisation scheme left as trained."""
    mixers: tuple[str, ...] = ()
    """What mixes tokens in each block: `attention`, `SSM`, `linear attention`, `convolution`, `recurrent`, several
    joined by +, an empty text where nothing does."""
    experts: bool = False
    """Whether tokens are sent to some of several experts (mixture of experts)."""
    n_embeddings: int | None = None
    """Token ids the model has an embedding for; larger ones cannot be read. None where it is not known."""
    retrieves: bool | None = None
    """Whether its card says that it finds the value of a key in its context; None where no card says either."""
    scales: tuple[float, ...] = ()
    """What the matrices of each block were multiplied by, in a draw at the trained scale."""


def values_of(rows: Sequence[Any], kind: type) -> list[tuple[Any, ...]]:
    """The fields of every row, in order. A row's fields are plain values: nothing is copied, as `astuple` would."""
    names = [field.name for field in fields(kind)]
    taken = attrgetter(*names)
    return [taken(row) if len(names) > 1 else (taken(row),) for row in rows]
