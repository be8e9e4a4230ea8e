"""What a run records of a subject: sizes, kind, and hashes of weights and tokenizer."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import Kind, SubjectFacts, Tap, block_taps
from repflow.models.families import FAMILIES
from repflow.models.initialise import Redrawn, kept_warning
from repflow.models.sources import Opened

_PROBE = "The quick brown fox\n jumps: 3.14 \u00e9\u4e2d <s></s>"
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_STATE_SPACE = re.compile(r"mamba|ssm|s4|rglru|recurrent|delta_?net|linear_?attn", re.IGNORECASE)


def subject_facts(
    label: str, opened: Opened, taps: tuple[Tap, ...], width: int, redrawn: Redrawn, init: str
) -> SubjectFacts:
    """The facts of a loaded subject whose states are `width` wide."""
    model = opened.model
    family = getattr(model.config, "model_type", "") or type(model).__name__
    kind = kind_of(model, family, taps)
    return SubjectFacts(
        label=label,
        family=family,
        kind=kind,
        init=init,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        n_blocks=len(block_taps(taps)),
        width=width,
        max_positions=None if kind in ("SSM", "other") else trained_positions(model.config),
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
        weights_sha256=weights_sha256(model),
        tokenizer_sha256=tokenizer_sha256(opened.tokenizer),
        reinitialised=redrawn.changed,
        kept=redrawn.kept,
        warnings=(*opened.warnings, *kept_warning(redrawn, init)),
    )


def kind_of(model: nn.Module, family: str, taps: tuple[Tap, ...]) -> Kind:
    """The registry's word, else judged by the class names inside the blocks."""
    if family in FAMILIES:
        return FAMILIES[family].kind
    blocks = [model.get_submodule(tap.module) for tap in block_taps(taps)]
    names = {type(module).__name__ for block in blocks for module in block.modules()}
    # A linear-attention class carries both words; it counts as recurrent only.
    recurrent = {name for name in names if _STATE_SPACE.search(name)}
    attends = any(_ATTENTION.search(name) for name in names - recurrent)
    if recurrent:
        return "hybrid" if attends else "SSM"
    return "TBM" if attends else "other"


def trained_positions(config: Any) -> int | None:
    """The positions the config says the model was trained on, under whatever name."""
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len"):
        value = getattr(config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


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
    content = [sorted(tokenizer.get_vocab().items()), [int(i) for i in tokenizer.encode(_PROBE)]]
    return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()
