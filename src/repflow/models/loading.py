"""Loads a subject: model, tokenizer, facts and sites."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from repflow.core import BadSetting, ModelProblem, SubjectFacts, Tap, block_taps
from repflow.models.check import check_source
from repflow.models.facts import subject_facts
from repflow.models.families import FAMILIES
from repflow.models.hf_taps import match_hf_taps
from repflow.models.initialise import Redrawn, reinitialise
from repflow.models.interventions.apply import apply
from repflow.models.ordinary import check_ordinary
from repflow.models.probing import check_causal, check_contract, find_taps
from repflow.models.quiet import quiet
from repflow.models.sources import Opened, Request, open_source
from repflow.models.spec import Init, SubjectSpec

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]

PROBE_TOKENS = 8


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

    @torch.no_grad()
    def forward(self, input_ids: Tensor) -> Any:
        """Runs the trunk on token ids [batch, tokens], right-padded where lengths differ. No logits, cache or mask.

        Every family here is causal, so padding on the right does not reach the tokens before it.
        """
        return self.model.base_model(input_ids=input_ids.to(self.device), use_cache=False)


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
    with quiet():
        opened = _open(spec, dtype, target, trust_remote_code, seed)
        model = opened.model.eval().requires_grad_(False)
        _adapt(model)
        redrawn, init = _reinitialise(model, spec, opened)
        model.to(target)
        _check_vocabulary(spec, opened)
        taps, hf_taps, reason, width, unsure = _sites(model, blocks, final_norm, target)
    facts = subject_facts(spec.label, opened, taps, width, redrawn, init)
    facts = replace(facts, warnings=(*facts.warnings, *unsure))
    plain = replace(spec, ablations=())
    subject = Loaded(plain, model, opened.tokenizer, facts, taps, hf_taps, reason, target)
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
    request = Request(_dtype(dtype, device), drawn, spec.revision, trust_remote_code)
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


def _check_vocabulary(spec: SubjectSpec, opened: Opened) -> None:
    rows = opened.model.get_input_embeddings().weight.shape[0]
    largest = max(opened.tokenizer.get_vocab().values(), default=0)
    if largest >= rows:
        raise ModelProblem(
            f"{spec}: the tokenizer has ids up to {largest}, the model embeddings for {rows} tokens only"
        )


def _sites(
    model: Any, blocks: str | None, final_norm: str | None, device: torch.device
) -> tuple[tuple[Tap, ...], tuple[Tap, ...], str, int, tuple[str, ...]]:
    rows = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(PROBE_TOKENS, device=device).remainder(rows).unsqueeze(0)

    def run(ids: Tensor = ids) -> Any:
        return model.base_model(input_ids=ids, use_cache=False, output_hidden_states=True)

    taps = find_taps(model, run, blocks=blocks, final_norm=final_norm)
    outputs: list[Any] = []
    states = check_contract(model, taps, lambda: outputs.append(run()))
    changed = ids.clone()
    changed[0, -1] = (ids[0, -1] + 1) % rows
    check_causal(model, block_taps(taps)[-1], states, lambda: run(changed))
    hf_taps, reason = match_hf_taps(getattr(outputs[0], "hidden_states", None) or (), states, taps)
    unsure = check_ordinary(model, taps[-1], run, ids)
    return taps, hf_taps, reason, states["embed"].shape[-1], (unsure,) if unsure else ()
