"""Tiny models, made-up states, and the streaming metrics' values: what the tests of the losses start from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM

from repflow.capture import tapped
from repflow.core import sites_for
from repflow.metrics import Batch, Options, Session, named
from repflow.metrics.path import CELLS
from repflow.models import find_taps

VOCAB = 50
FAMILIES = ("pythia", "mamba")


def tiny(family: str, layers: int = 3, seed: int = 0) -> nn.Module:
    """A random language model of width 16."""
    torch.manual_seed(seed)
    if family == "mamba":
        config = MambaConfig(
            num_hidden_layers=layers, hidden_size=16, vocab_size=VOCAB, state_size=4, pad_token_id=0, use_cache=False
        )
        return MambaForCausalLM(config)
    config = GPTNeoXConfig(
        num_hidden_layers=layers,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=VOCAB,
        max_position_embeddings=64,
        use_cache=False,
    )
    return GPTNeoXForCausalLM(config)


def token_batch(lengths: Sequence[int] = (9, 6, 4), seed: int = 0) -> dict[str, Tensor]:
    """Right-padded inputs with labels; padding is masked and has no label."""
    ids = torch.randint(1, VOCAB, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def made_up(sites: int = 4, lengths: Sequence[int] = (7, 5, 2), width: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """States [sites, sequences, tokens, width] of a residual stream in float64, and the mask of real tokens.

    The tokens of a sequence share a part; at padding stands garbage.
    """
    draw = torch.Generator().manual_seed(seed)
    n, t = len(lengths), max(lengths)
    steps = torch.randn(sites, n, t, width, generator=draw, dtype=torch.float64)
    shared = torch.randn(n, 1, width, generator=draw, dtype=torch.float64)
    real = torch.arange(t) < torch.tensor(lengths)[:, None]
    return (0.5 * steps.cumsum(0) + shared).masked_fill(~real[..., None], 1e4), real


def measured(states: Sequence[Tensor], real: Tensor) -> dict[str, Tensor]:
    """What the streaming metrics say of these states: `inter_token_cosine` by site, path quantities by variant."""
    sites = sites_for(len(states) - 1)[: len(states)]
    options = Options(policies=("all",), replicates=2)
    batch = Batch(tuple(range(len(real))), real, torch.zeros_like(real), sites, options)
    session = Session(named(["inter_token_cosine", "path"]), batch)
    for site, state in zip(sites, states, strict=True):
        session.see(site, state)
    found = session.finish()
    cosine = found["inter_token_cosine"].value()[:, 0].flatten(1)[:, 0]
    path = found["path"].value()[..., 0].flatten()
    return {"inter_token_cosine": cosine, **{f"{m} {v}": path[i] for i, (m, v) in enumerate(CELLS)}}


def states_of(model: nn.Module, batch: dict[str, Tensor]) -> list[Tensor]:
    """The states at all sites, in order, without gradients."""
    seen: list[Tensor] = []
    with torch.no_grad(), tapped(model, find_taps(model), lambda _, states: seen.append(states.clone())):
        model(**batch)
    return seen


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
