"""Small models to watch, and the same numbers without repflow's hooks."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, MambaConfig, MambaForCausalLM

import repflow

VOCAB = 60
PAD = 59
LENGTHS = (9, 6, 4)
"""Tokens of the rows of a padded batch."""


def watched(model: Any, run: Any, **options: Any) -> Any:
    """What watch shows of one run."""
    with repflow.watch(model, metrics=["inter_token_cosine"], **options) as flow, torch.no_grad():
        run()
    return flow


def doubts(flow: Any) -> tuple[str, ...]:
    """What it warns of, but for units too few, which these short texts always are."""
    return tuple(text for text in flow.warnings if "give no interval" not in text)


def gpt2(**changes: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 1}
    quiet = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "initializer_range": 0.3}
    return GPT2LMHeadModel(GPT2Config(**(sizes | quiet | changes))).eval()


def mamba() -> Any:
    torch.manual_seed(0)
    return MambaForCausalLM(MambaConfig(num_hidden_layers=2, hidden_size=16, vocab_size=VOCAB, state_size=4)).eval()


def ids_of(n: int = 2, t: int = 9, seed: int = 0) -> Tensor:
    return torch.randint(2, PAD, (n, t), generator=torch.Generator().manual_seed(seed))


def padded(lengths: Iterable[int], side: str = "right") -> tuple[Tensor, Tensor]:
    """Rows of these lengths and their mask."""
    lengths = list(lengths)
    width = max(lengths)
    ids, mask = torch.full((len(lengths), width), PAD), torch.zeros(len(lengths), width, dtype=torch.int64)
    for row, length in enumerate(lengths):
        at = slice(0, length) if side == "right" else slice(width - length, width)
        ids[row, at], mask[row, at] = ids_of(1, length, seed=row)[0], 1
    return ids, mask


def cosines(flow: Any) -> list[float]:
    """Inter-token cosine at every site, of all counted tokens."""
    rows = flow.layers.query("metric == 'inter_token_cosine' and variant == 'raw' and tokens == 'all'")
    return rows.sort_values("site_index")["value"].tolist()


def plain(calls: Iterable[tuple[Any, ...]], blocks: nn.ModuleList, norm: nn.Module) -> list[float]:
    """Inter-token cosine at every site, the mean over sequences, by hooks of this test's own.

    A call is a function that runs the model, and for each sequence its row and the places of its tokens.
    """
    seen: list[Tensor] = []

    def given(_: Any, args: Any, named: Any) -> None:
        seen.append(args[0] if args else named["hidden_states"])

    def made(_: Any, __: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handles = [blocks[0].register_forward_pre_hook(given, with_kwargs=True)]
    handles += [module.register_forward_hook(made) for module in (*blocks, norm)]
    found: list[list[float]] = []
    with torch.no_grad():
        for run, sequences in calls:
            seen.clear()
            run()
            found += [[_cosine(states[row, list(at)]) for states in seen] for row, at in sequences]
    for handle in handles:
        handle.remove()
    return torch.tensor(found).mean(0).tolist()


def _cosine(states: Tensor) -> float:
    units = states.double() / states.double().norm(dim=-1, keepdim=True)
    n = len(units)
    return float((units.sum(0).square().sum() - n) / (n * (n - 1)))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
