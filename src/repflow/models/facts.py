"""What a run records of a subject: sizes, kind, and hashes of weights and tokenizer."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import SubjectFacts, Tap
from repflow.models.initialise import Redrawn, kept_warning
from repflow.models.mixers import has_experts, kind_of, mixers_of
from repflow.models.observing import Observed
from repflow.models.positions import trained_positions
from repflow.models.sources import Opened

_PROBE = "The quick brown fox\n jumps: 3.14 \u00e9\u4e2d <s></s>"


def subject_facts(
    label: str,
    opened: Opened,
    taps: tuple[Tap, ...],
    width: int,
    observed: Observed,
    redrawn: Redrawn,
    init: str,
) -> SubjectFacts:
    """The facts of a loaded subject whose states are `width` wide."""
    model = opened.model
    mixers = mixers_of(model, taps, observed)
    return SubjectFacts(
        label=label,
        family=family_of(model),
        kind=kind_of(mixers),
        init=init,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        n_blocks=len(mixers),
        width=width,
        max_positions=trained_positions(model, taps, mixers, observed),
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
        weights_sha256=weights_sha256(model),
        tokenizer_sha256=tokenizer_sha256(opened.tokenizer),
        reinitialised=redrawn.changed,
        kept=redrawn.kept,
        interventions=opened.interventions,
        warnings=(*opened.warnings, *kept_warning(redrawn, init)),
        mixers=mixers,
        experts=has_experts(model),
        n_embeddings=model.get_input_embeddings().weight.shape[0],
    )


def family_of(model: nn.Module) -> str:
    """The architecture's `model_type`, or the name of the class."""
    return getattr(getattr(model, "config", None), "model_type", "") or type(model).__name__


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor of the state dict; tied tensors count once."""
    first: dict[tuple[object, ...], str] = {}
    for name, tensor in sorted(model.state_dict().items()):
        key = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else (name,)
        first.setdefault(key, name)
    state = model.state_dict()
    with ThreadPoolExecutor(max_workers=4) as pool:
        names = sorted(first.values())
        digests = pool.map(_tensor_digest, names, (state[name] for name in names))
        return hashlib.sha256("".join(digests).encode()).hexdigest()


def _tensor_digest(name: str, tensor: Tensor) -> str:
    head = f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode()
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    digest = hashlib.sha256(head)
    digest.update(raw.data)
    return digest.hexdigest()


def tokenizer_sha256(tokenizer: Any) -> str:
    """SHA-256 of the vocabulary and of how a fixed text is encoded, special tokens included."""
    content = [sorted(tokenizer.get_vocab().items()), _probe_ids(tokenizer)]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()


def _probe_ids(tokenizer: Any) -> list[int] | None:
    """None for a vocabulary that cannot write the text and has no token for what is unknown."""
    try:
        return [int(i) for i in tokenizer.encode(_PROBE)]
    except Exception:
        return None
