"""Whether and how a model can be read: causal, complete, its sites found, and what a few tokens show of it."""

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from repflow.core import ModelProblem, Tap
from repflow.models.finding import NORM_BY_HAND, check_contract, find_taps, same_state
from repflow.models.observing import PROBE_TOKENS, Observed, observe, probe_ids
from repflow.models.positions import APART, Lengths, lengths_of

Forward = Callable[[Tensor], Any]
"""Runs the trunk on token ids [1, tokens]."""

_ELSEWHERE = frozenset({"encoder_hidden_states", "key_value_states", "cross_attention_states"})
"""What an attention module that reads an encoder takes."""


@dataclass(frozen=True, eq=False, slots=True)
class Readable:
    """A model whose sites are known and hold what they should."""

    taps: tuple[Tap, ...]
    states: dict[str, Tensor]
    """[1, 8, width] at each site, by name."""
    output: Any
    """What the trunk returned then."""
    observed: Observed
    lengths: Lengths
    warnings: tuple[str, ...]

    @property
    def width(self) -> int:
        return self.states["embed"].shape[-1]


def readable(model: Any, forward: Forward, *, blocks: str | None = None, final_norm: str | None = None) -> Readable:
    """Reads a few tokens and checks what METHODS asks of a model and its sites.

    Raises ModelProblem for a model that looks ahead, that lacks the encoder it reads, or whose sites cannot be told or
    do not hand the stream on.
    """
    embeddings = model.get_input_embeddings().weight
    ids = probe_ids(embeddings.shape[0], embeddings.device)
    output, idle = _with_idle(model, lambda: forward(ids))
    state = _state(output)
    changed = ids.clone()
    changed[0, -1] = (ids[0, -1] + 1) % embeddings.shape[0]
    check_causal(model, state, _state(forward(changed)))
    if idle:
        raise ModelProblem(
            f"{type(model).__name__} is the decoder of an encoder-decoder: {idle} reads an encoder, which is not "
            "there; repflow measures decoder-only language models"
        )
    taps = find_taps(model, lambda: forward(ids), blocks=blocks, final_norm=final_norm)
    outputs: list[Any] = []
    states: dict[str, Tensor] = {}
    observed = observe(
        model, taps, lambda: states.update(check_contract(model, taps, lambda: outputs.append(forward(ids))))
    )
    check_final_norm(model, taps[-1], states, outputs[0])
    lengths, warnings = _lengths(model, forward, ids, state, observed)
    return Readable(taps, states, outputs[0], observed, lengths, warnings)


def check_causal(model: nn.Module, state: Tensor | None, changed: Tensor | None) -> None:
    """Raises ModelProblem where other last tokens moved the states before them: right padding is exact only otherwise.

    Both [1, tokens, width]: what the model made of some tokens, and of the same tokens but the last.
    """
    if state is None or changed is None or _moved(state[:, :-1], changed[:, :-1]) <= _share(state, 1e-5):
        return
    raise ModelProblem(
        f"{type(model).__name__} is not causal: its last token moves the states before it, as in an encoder; "
        "give a causal language model"
    )


def check_final_norm(model: nn.Module, last: Tap, states: dict[str, Tensor], output: Any) -> None:
    """Raises ModelProblem where the final norm's output is not the state that the trunk returned in the same run."""
    returned = getattr(output, "last_hidden_state", None)
    if last.site.is_final_norm and isinstance(returned, Tensor) and not same_state(states[last.site.name], returned):
        raise ModelProblem(
            f"{type(model).__name__}: what {last.module} writes is not what the unembedding reads, so it is no final "
            f"norm; {NORM_BY_HAND}"
        )


def _with_idle(model: nn.Module, run: Callable[[], Any]) -> tuple[Any, str]:
    """What a run returned, and the first part in it that reads an encoder and was passed over, if any."""
    called: set[int] = set()
    with ExitStack() as hooks, torch.no_grad():
        for module in model.modules():
            handle = module.register_forward_pre_hook(lambda module, _: called.add(id(module)))
            hooks.callback(handle.remove)
        output = run()
    modules = dict(model.named_modules())
    for name, module in modules.items():
        beside = id(modules[name.rpartition(".")[0]]) in called
        if beside and id(module) not in called and _reads_elsewhere(module):
            return output, name
    return output, ""


def _reads_elsewhere(module: nn.Module) -> bool:
    holds = next(module.parameters(), None) is not None
    return holds and not _ELSEWHERE.isdisjoint(inspect.signature(module.forward).parameters)


def _lengths(
    model: Any, forward: Forward, ids: Tensor, state: Tensor | None, observed: Observed
) -> tuple[Lengths, tuple[str, ...]]:
    """Which rows may share a batch: what the configs say, or those of one length where padding moves the states."""
    lengths = lengths_of(model)
    longest = min(2 * PROBE_TOKENS, observed.positions or 2 * PROBE_TOKENS)
    if state is None or longest == PROBE_TOKENS or lengths.key(PROBE_TOKENS) != lengths.key(longest):
        return lengths, ()
    padded = _state(forward(torch.cat([ids, ids.flip(1)[:, : longest - PROBE_TOKENS]], 1)))
    if padded is None or _moved(state, padded[:, :PROBE_TOKENS]) <= _share(state, 1e-3):
        return lengths, ()
    return APART, ("padding behind a row moves its states, so only rows of one length share a batch",)


def _state(output: Any) -> Tensor | None:
    """The first thing a trunk returned, where it is [batch, tokens, width]."""
    first = output.to_tuple()[0] if hasattr(output, "to_tuple") else output
    first = first[0] if isinstance(first, tuple | list) and first else first
    return first.detach() if isinstance(first, Tensor) and first.ndim == 3 else None


def _moved(before: Tensor, after: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    apart = (before - after).abs().amax().nan_to_num()
    scale = before.abs().amax().nan_to_num()
    return float(apart / scale) if scale > 0 else float(apart)


def _share(state: Tensor, exact: float) -> float:
    return exact if state.dtype == torch.float32 else max(exact, 2e-2)
