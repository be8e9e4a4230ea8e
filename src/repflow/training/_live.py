"""A model that somebody else is training, as a subject."""

from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import BadSetting, ModelProblem, SubjectFacts
from repflow.engines import Reader
from repflow.models.facts import subject_facts
from repflow.models.families import FAMILIES
from repflow.models.initialise import Redrawn
from repflow.models.positions import fresh_rotary
from repflow.models.reading import readable
from repflow.models.sources import Opened
from repflow.studies.jobs import batch_tokens
from repflow.studies.settings import FlowSettings, ModelSettings


def live_subject(model: nn.Module, tokenizer: Any, label: str, settings: FlowSettings) -> tuple[Reader, SubjectFacts]:
    """A reader of a model as it is, on its device and in its precision, its sites checked on 8 tokens.

    Call it, and use the reader, where the model is `undisturbed`. Raises ModelProblem for a model whose sites cannot be
    found or that cannot be read without changing it, BadSetting for settings a model in training cannot follow.
    """
    _check_settings(settings.model)
    _check_kind(model)
    device = _embeddings(model).device

    @torch.no_grad()
    def forward(ids: Tensor) -> Any:
        # Tensors made in inference mode must not end up in a model that goes on training.
        with torch.inference_mode(False), fresh_rotary(model):
            return model.base_model(input_ids=ids, use_cache=False)  # pyright: ignore[reportCallIssue]

    read = readable(model, forward, blocks=settings.model.blocks, final_norm=settings.model.final_norm)
    opened = Opened(model, tokenizer, warnings=read.warnings)
    facts = subject_facts(label, opened, read.taps, read.width, read.observed, Redrawn(()), "trained")
    special = tuple(tokenizer.all_special_ids)
    tokens = batch_tokens(settings, device)
    return Reader(label, model, forward, read.taps, special, device, tokens, lengths=read.lengths), facts


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
