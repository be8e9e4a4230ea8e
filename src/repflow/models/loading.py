"""Loads a subject: model, tokenizer, facts and sites."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from repflow.core import BadSetting, ModelProblem, SubjectFacts, Tap
from repflow.core.boundary import one_line_errors
from repflow.models.check import check_source
from repflow.models.compiled import SELECTIVE_SCAN, compiled_scans
from repflow.models.facts import subject_facts
from repflow.models.families import FAMILIES
from repflow.models.hf_taps import match_hf_taps
from repflow.models.initialise import Redrawn, reinitialise
from repflow.models.interventions.apply import apply
from repflow.models.observing import probe_ids
from repflow.models.ordinary import check_ordinary
from repflow.models.positions import ALIKE, Lengths, fresh_rotary
from repflow.models.quiet import quiet
from repflow.models.reading import Readable, readable
from repflow.models.sources import Opened, Request, open_source
from repflow.models.spec import Init, SubjectSpec
from repflow.models.zoo import told_to_retrieve

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A subject ready to run: evaluation mode, no gradients."""

    spec: SubjectSpec
    model: Any
    """The causal language model, for generation; its unembedding is not used by `forward`."""
    tokenizer: Any
    """A Hugging Face fast tokenizer."""
    facts: SubjectFacts
    taps: tuple[Tap, ...]
    """The L+2 sites, in order; modules named relative to `model`."""
    hf_taps: tuple[Tap, ...]
    """Hugging Face's own list of hidden states as taps; empty where it cannot be had, see `hf_reason`."""
    hf_reason: str
    device: torch.device
    lengths: Lengths = ALIKE
    """Which rows may share a batch."""

    @torch.no_grad()
    def forward(self, input_ids: Tensor) -> Any:
        """Runs the trunk on token ids [batch, tokens], right-padded where lengths differ. No logits, cache or mask.

        Every family here is causal, so padding on the right does not reach the tokens before it; where it moves the
        frequencies of a rotary embedding, `lengths` keeps such rows apart. On a CPU with numba the selective scan of
        Mamba is a compiled loop: the same to 1e-5.
        """
        with self.as_loaded(), compiled_scans(self.model, (SELECTIVE_SCAN,)):
            return self.model.base_model(input_ids=input_ids.to(self.device), use_cache=False)

    @contextmanager
    def as_loaded(self) -> Iterator[None]:
        """Within, the model reads as one that has read nothing before."""
        with fresh_rotary(self.model) if self.lengths.each else nullcontext():
            yield


def load(
    spec: SubjectSpec | str,
    *,
    dtype: Dtype = "auto",
    device: Device = "auto",
    trust_remote_code: bool = False,
    seed: int = 0,
    blocks: str | None = None,
    final_norm: str | None = None,
) -> Loaded:
    """Loads a subject and checks its sites on a probe of 8 tokens, then carries out the spec's interventions.

    `dtype="auto"` is float32 on a CPU and the checkpoint's own on a GPU. `seed` draws the weights of a `config:`
    model whose spec names none. `blocks` and `final_norm` name modules by hand where probing cannot tell.
    Raises BadFile, BadSetting, BadSpec, ModelProblem or UnknownName, each one line.
    """
    if isinstance(spec, str):
        spec = SubjectSpec.parse(spec)
    check_source(spec)
    target = _device(device)
    with quiet(), one_line_errors(f"cannot load {spec}"):
        opened = _open(spec, dtype, target, trust_remote_code, seed)
        model = opened.model.eval().requires_grad_(False)
        _adapt(model)
        redrawn, init = _reinitialise(model, spec, opened)
        model.to(target)
    with quiet(), one_line_errors(f"cannot read {spec}, its first pass fails"):
        read = _read(model, blocks, final_norm, target)
    hf_taps, reason = match_hf_taps(getattr(read.output, "hidden_states", None) or (), read.states, read.taps)
    opened = replace(opened, warnings=(*opened.warnings, *read.warnings))
    facts = subject_facts(spec.label, opened, read.taps, read.width, read.observed, redrawn, init)
    facts = replace(facts, retrieves=told_to_retrieve(spec.source) if init == "trained" else None)
    plain = replace(spec, ablations=())
    subject = Loaded(plain, model, opened.tokenizer, facts, read.taps, hf_taps, reason, target, read.lengths)
    return apply(subject, spec.ablations, ExitStack())


def _device(device: str) -> torch.device:
    if device not in get_args(Device):
        raise BadSetting(f"--device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise BadSetting("--device cuda: no CUDA GPU is available to torch here; use --device cpu or auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def _dtype(dtype: str, device: torch.device) -> Any:
    if dtype not in get_args(Dtype):
        raise BadSetting(f"--dtype must be one of {', '.join(get_args(Dtype))}, got {dtype!r}")
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    return getattr(torch, dtype)


def _open(spec: SubjectSpec, dtype: str, device: torch.device, trust_remote_code: bool, seed: int) -> Opened:
    is_config = spec.source.startswith("config:")
    drawn = spec.init.seed if is_config and spec.init and spec.init.scheme == "config" else seed
    adapter = None if spec.adapter is None else Path(spec.adapter).expanduser()
    request = Request(_dtype(dtype, device), drawn, spec.revision, trust_remote_code, adapter)
    with torch.random.fork_rng(devices=[]):
        return open_source(spec.source, request)


def _adapt(model: nn.Module) -> None:
    """Sets what the family needs so that its sites hold what METHODS says."""
    known = FAMILIES.get(getattr(model.config, "model_type", ""))
    for key, value in (known.on_load if known else {}).items():
        setattr(model.config, key, value)


def _reinitialise(model: nn.Module, spec: SubjectSpec, opened: Opened) -> tuple[Redrawn, str]:
    wanted: Init | None = spec.init
    if wanted is None or opened.init == str(wanted):
        return Redrawn(()), opened.init
    try:
        return reinitialise(model, wanted), str(wanted)
    except ModelProblem as problem:
        raise ModelProblem(f"{spec}: {problem}") from problem


def _read(model: Any, blocks: str | None, final_norm: str | None, device: torch.device) -> Readable:
    @torch.no_grad()
    def forward(ids: Tensor) -> Any:
        return model.base_model(input_ids=ids.to(device), use_cache=False, output_hidden_states=True)

    read = readable(model, forward, blocks=blocks, final_norm=final_norm)
    rows = model.get_input_embeddings().weight.shape[0]
    unsure = check_ordinary(model, read.taps[-1], forward, probe_ids(rows, device))
    return replace(read, warnings=(*read.warnings, unsure)) if unsure else read
