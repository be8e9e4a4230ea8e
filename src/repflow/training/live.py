"""A model that somebody else is training, as a subject."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import BadSetting, ModelProblem, SubjectFacts, Tap
from repflow.engines import Reader
from repflow.models.facts import subject_facts
from repflow.models.families import FAMILIES
from repflow.models.initialise import Redrawn
from repflow.models.observing import probe_ids
from repflow.models.ordinary import OrdinaryCall, likeness, ordinary_call
from repflow.models.positions import fresh_rotary
from repflow.models.reading import readable
from repflow.models.recording import recorded
from repflow.models.sources import Opened
from repflow.studies.flow.measure import batch_tokens
from repflow.studies.kit.settings import FlowSettings, ModelSettings


def live_subject(model: nn.Module, tokenizer: Any, label: str, settings: FlowSettings) -> tuple[Reader, SubjectFacts]:
    """A reader of a model as it is, on its device and in its precision, its sites checked on 8 tokens.

    The reader calls the trunk alone where that shows what the whole model, called as its users call it, shows; else the
    whole model. Virtual tokens are told and left out. Call it, and use the reader, where the model is `undisturbed`.
    Raises ModelProblem for a model whose sites cannot be found or that cannot be read without changing it, BadSetting
    for settings a model in training cannot follow.
    """
    _check_settings(settings.model)
    _check_kind(model)
    device = _embeddings(model).device
    named = {"blocks": settings.model.blocks, "final_norm": settings.model.final_norm}
    forward = _lasting(model, lambda ids: model.base_model(input_ids=ids, use_cache=False))  # pyright: ignore[reportCallIssue]
    read = readable(model, forward, **named)
    whole, virtual, warnings = _as_run(model, forward, read.taps[-1], probe_ids(len(_embeddings(model)), device))
    if whole is not None:
        forward, read = whole, readable(model, whole, **named)
    opened = Opened(model, tokenizer, warnings=(*read.warnings, *warnings))
    facts = subject_facts(label, opened, read.taps, read.width, read.observed, Redrawn(()), "trained")
    if facts.max_positions is not None:
        facts = replace(facts, max_positions=facts.max_positions - virtual)
    special = tuple(tokenizer.all_special_ids)
    tokens = batch_tokens(settings, device)
    return Reader(label, model, forward, read.taps, special, device, tokens, virtual, lengths=read.lengths), facts


def _lasting(model: nn.Module, call: OrdinaryCall) -> OrdinaryCall:
    @torch.no_grad()
    def forward(ids: Tensor) -> Any:
        # Tensors made in inference mode must not end up in a model that goes on training.
        with torch.inference_mode(False), fresh_rotary(model):
            return call(ids)

    return forward


def _as_run(
    model: nn.Module, trunk: OrdinaryCall, last: Tap, ids: Tensor
) -> tuple[OrdinaryCall | None, int, tuple[str, ...]]:
    """The whole model, where it shows other states than its trunk alone; virtual tokens before each row; warnings.

    The whole model's pass returns the states of the last site, without those of virtual tokens.
    """
    ordinary = ordinary_call(model, ids)
    if isinstance(ordinary, str):
        return None, 0, (f"no ordinary call of {type(model).__name__} to compare the sites with: {ordinary}",)
    whole = _lasting(model, ordinary)
    found = likeness(model, last, lambda: trunk(ids), lambda: whole(ids))
    if found.same:
        return None, 0, ()
    if found.extra:
        _check_before(model, whole, last, ids, found.extra)

    def shown(ids: Tensor) -> Tensor | None:
        (call,) = recorded(model, [last.module], lambda: whole(ids))
        return None if call.made is None else call.made[:, found.extra :]

    said = f"{found.extra} virtual tokens stand before every example and do not count"
    return shown, found.extra, (said,) if found.extra else ()


def _check_before(model: nn.Module, whole: OrdinaryCall, last: Tap, ids: Tensor, virtual: int) -> None:
    """Virtual tokens stand before the others if another first token leaves their states as they were."""
    changed = ids.clone()
    changed[0, 0] = (ids[0, 0] + 1) % len(_embeddings(model))
    runs = [recorded(model, [last.module], lambda ids=each: whole(ids))[0].made for each in (ids, changed)]
    states = [state[:, :virtual] for state in runs if state is not None]
    if virtual < 0 or len(states) < 2 or not torch.allclose(states[0], states[1], equal_nan=True):
        raise ModelProblem(
            f"{type(model).__name__} holds {ids.shape[1] + virtual} states for {ids.shape[1]} tokens, and not the "
            f"first {max(virtual, 0)} are virtual; measure it in your own loop with repflow.watch"
        )


def check_vocabulary(model: nn.Module, label: str, ids: set[int]) -> None:
    """On a GPU an id without an embedding would end the training itself. Raises ModelProblem."""
    rows = len(_embeddings(model))
    wrong = sorted(i for i in ids if not 0 <= i < rows)
    if wrong:
        raise ModelProblem(
            f"{label}: the evaluation set has the token id {wrong[-1]}, the model embeddings for {rows} tokens; "
            "give the tokenizer the model is trained with"
        )


def _check_settings(settings: ModelSettings) -> None:
    for name in ("dtype", "device", "trust_remote_code"):
        if getattr(settings, name) != getattr(ModelSettings(), name):
            raise BadSetting(f"{name} is for models that are loaded; a model in training is read as it is")


def _check_kind(model: nn.Module) -> None:
    config = getattr(model, "config", None)
    if config is None or not hasattr(model, "base_model"):
        raise ModelProblem(f"FlowCallback needs a Hugging Face causal language model, got {type(model).__name__}")
    family = getattr(config, "model_type", "")
    if family in FAMILIES and FAMILIES[family].on_load:
        raise ModelProblem(
            f"{family} changes its own weights between training and evaluation, so it cannot be measured while it "
            "trains; save snapshots and use measure_snapshots"
        )


def _embeddings(model: Any) -> Tensor:
    return model.get_input_embeddings().weight
