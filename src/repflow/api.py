"""The public functions of the package: the commands, from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from repflow.engines import Progress
from repflow.report.run import Run
from repflow.studies.catalogue import study
from repflow.studies.kit.bars import shown
from repflow.studies.kit.fields import from_flat, named, told
from repflow.studies.kit.settings import ZOO


@told
def flow(
    subjects: str | Sequence[str] = ZOO,
    *,
    task: str | Sequence[str] = ("text",),
    context: int | Sequence[int] = (512,),
    examples: int = 64,
    text: str | Sequence[str] = (),
    pack: bool = True,
    column: str | None = None,
    data: str | None = None,
    keys: Literal["auto", "uuid", "hex8", "hex4"] = "auto",
    positions: int = 5,
    items: int | None = None,
    bos: bool = False,
    metrics: str | Sequence[str] = (),
    tokens: str | Sequence[str] = ("all", "no_sink"),
    sink_factor: float = 10.0,
    sites: Literal["residual", "hf"] = "residual",
    calibration: int = 8,
    gram_tokens: int = 256,
    replicates: int = 200,
    permutations: int = 99,
    seed: int = 0,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch_tokens: int = 0,
    allow_extrapolation: bool = False,
    trust_remote_code: bool = False,
    blocks: str | None = None,
    final_norm: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    shard: int = 0,
    texts: bool = True,
    progress: Progress | bool = True,
) -> Run:
    """Measure how representations flow through the depth of models; the command `repflow flow` from Python.

    `repflow flow --help` says what subjects and settings are; `progress` is whether to show a bar, where this is a
    terminal or a notebook, or an object that is told of the run's course.

    Returns the finished run. Raises a RepflowError for anything the caller can mend.
    """
    return _run("flow", locals())


@told
def probe(
    subjects: str | Sequence[str] = ZOO,
    *,
    task: str | Sequence[str] = ("kvpr",),
    context: int | Sequence[int] = (1000,),
    examples: int = 100,
    data: str | None = None,
    keys: Literal["auto", "uuid", "hex8", "hex4", "pairs"] = "auto",
    divided: bool = False,
    positions: int = 5,
    items: int | None = None,
    bos: bool = False,
    target: str | Sequence[str] = (),
    places: str | Sequence[str] = ("last", "ask"),
    solver: Literal["adam", "lbfgs"] = "adam",
    seeds: int = 5,
    control: bool = True,
    baseline: Literal["none", "init"] = "none",
    generate: bool = True,
    new_tokens: int = 100,
    keep_features: bool = False,
    seed: int = 0,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch_tokens: int = 0,
    allow_extrapolation: bool = False,
    trust_remote_code: bool = False,
    blocks: str | None = None,
    final_norm: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    shard: int = 0,
    progress: Progress | bool = True,
) -> Run:
    """Find where in depth a task's answer is linearly readable; the command `repflow probe` from Python.

    `repflow probe --help` says what subjects and settings are; `progress` is whether to show a bar, where this is a
    terminal or a notebook, or an object that is told of the run's course.

    Returns the finished run: `.probes`, and `.table(name)` for probe_classes, probe_summary, answers and telling.
    Raises a RepflowError for anything the caller can mend.
    """
    return _run("probe", locals())


@told
def ablate(
    subjects: str | Sequence[str] = ZOO,
    *,
    what: str | Sequence[str] = (),
    windows: int | Sequence[int] = (),
    each_block: bool = False,
    task: str | Sequence[str] = ("text",),
    context: int | Sequence[int] = (512,),
    examples: int = 64,
    text: str | Sequence[str] = (),
    pack: bool = True,
    column: str | None = None,
    data: str | None = None,
    keys: Literal["auto", "uuid", "hex8", "hex4"] = "auto",
    positions: int = 5,
    items: int | None = None,
    bos: bool = False,
    metrics: str | Sequence[str] = ("inter_token_cosine", "adjacent_cosine", "update_ratio", "norm"),
    tokens: str | Sequence[str] = ("all", "no_sink"),
    calibration: int = 0,
    generate: bool = True,
    new_tokens: int = 100,
    replicates: int = 200,
    seed: int = 0,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch_tokens: int = 0,
    allow_extrapolation: bool = False,
    trust_remote_code: bool = False,
    blocks: str | None = None,
    final_norm: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    shard: int = 0,
    progress: Progress | bool = True,
) -> Run:
    """Measure what a change inside a model does to its flow, loss and answers; `repflow ablate` from Python.

    `repflow ablate --help` says what subjects and settings are; `progress` is whether to show a bar, where this is a
    terminal or a notebook, or an object that is told of the run's course.

    Returns the finished run: `.table("ablations")` sets every change beside the model without it, and the changed
    subjects stand in `.layers`.
    Raises a RepflowError for anything the caller can mend.
    """
    return _run("ablate", locals())


@told
def attribute(
    subjects: str | Sequence[str] = ZOO,
    *,
    task: str | Sequence[str] = ("text",),
    context: int | Sequence[int] = (512,),
    examples: int = 64,
    text: str | Sequence[str] = (),
    pack: bool = True,
    column: str | None = None,
    data: str | None = None,
    keys: Literal["auto", "uuid", "hex8", "hex4"] = "auto",
    positions: int = 5,
    items: int | None = None,
    bos: bool = False,
    schemes: str | Sequence[str] = ("config", "normal", "xavier", "kaiming", "orthogonal", "permuted"),
    seeds: int = 5,
    keep: bool = False,
    matched: bool = True,
    same_architecture: bool = False,
    tokens: str | Sequence[str] = ("all", "no_sink"),
    calibration: int = 8,
    replicates: int = 200,
    keep_replicates: bool = True,
    seed: int = 0,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch_tokens: int = 0,
    allow_extrapolation: bool = False,
    trust_remote_code: bool = False,
    blocks: str | None = None,
    final_norm: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    shard: int = 0,
    progress: Progress | bool = True,
) -> Run:
    """Say how much of the likeness of tokens random weights show; the command `repflow attribute` from Python.

    `repflow attribute --help` says what subjects and settings are; `progress` is whether to show a bar, where this is a
    terminal or a notebook, or an object that is told of the run's course.

    Returns the finished run: `.table("shares")`, `.table("schemes")`, `.findings`, and `.layers` of every draw.
    Raises a RepflowError for anything the caller can mend.
    """
    return _run("attribute", locals())


@told
def dynamics(
    subjects: str | Sequence[str] = ZOO,
    *,
    task: str | Sequence[str] = ("text",),
    context: int | Sequence[int] = (512,),
    examples: int = 32,
    text: str | Sequence[str] = (),
    pack: bool = True,
    column: str | None = None,
    data: str | None = None,
    keys: Literal["auto", "uuid", "hex8", "hex4"] = "auto",
    positions: int = 5,
    items: int | None = None,
    bos: bool = False,
    influence_tokens: int = 2,
    directions: int = 1,
    max_distance: int = 0,
    tokens: str | Sequence[str] = ("all", "no_sink"),
    replicates: int = 200,
    seed: int = 0,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch_tokens: int = 0,
    allow_extrapolation: bool = False,
    trust_remote_code: bool = False,
    blocks: str | None = None,
    final_norm: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    shard: int = 0,
    progress: Progress | bool = True,
) -> Run:
    """Measure how fast state-space blocks forget and how far back influence reaches; `repflow dynamics` from Python.

    `repflow dynamics --help` says what subjects and settings are; `progress` is whether to show a bar, where this is a
    terminal or a notebook, or an object that is told of the run's course.

    Returns the finished run: `.table(name)` for transitions, influence, recency and bounds. Raises a RepflowError.
    """
    return _run("dynamics", locals())


@told
def paper(
    subjects: str | Sequence[str] = ZOO,
    *,
    preset: Literal["quick", "full", "original"] = "quick",
    parts: str | Sequence[str] = ("flow", "flow-hf", "probe-kvpr", "probe-mdqa", "attribute", "ablate", "dynamics"),
    text: str | Sequence[str] = (),
    context: int | None = None,
    examples: int | None = None,
    kvpr_contexts: int | Sequence[int] = (),
    mdqa_contexts: int | Sequence[int] = (),
    sets: int | None = None,
    keys: Literal["preset", "auto", "uuid", "hex8", "hex4", "pairs"] = "preset",
    kvpr_data: str | None = None,
    mdqa_data: str | None = None,
    seed: int = 0,
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch_tokens: int = 0,
    allow_extrapolation: bool = False,
    trust_remote_code: bool = False,
    blocks: str | None = None,
    final_norm: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    shard: int = 0,
    texts: bool = True,
    progress: Progress | bool = True,
) -> Run:
    """Make the whole study of the paper on any models, and judge its claims; `repflow paper` from Python.

    `repflow paper --help` says what subjects and settings are; `progress` is whether to show a bar, where this is a
    terminal or a notebook, or an object that is told of the run's course.

    Returns the finished run: `.table("claims")`, and `.parts`, the runs inside it by name. Raises a RepflowError.
    """
    return _run("paper", locals())


def _run(name: str, given: Mapping[str, Any]) -> Run:
    """Run a study with a call's own arguments, its settings by name."""
    values = dict(given)
    subjects, progress = named(values.pop("subjects")), values.pop("progress")
    chosen = study(name)
    settings = from_flat(chosen.settings(), subjects, values)
    with shown(progress) as told_of:
        return Run.of(chosen.run(settings, told_of))
