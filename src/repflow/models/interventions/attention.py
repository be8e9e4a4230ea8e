"""Attention interventions: a local window, uniform weights, each token alone."""

import inspect
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from repflow.models.interventions.grammar import Value
from repflow.models.interventions.swap import swap_attribute

_MASKABLE = ("eager", "sdpa")
"""Attention implementations of transformers that add a mask given by the caller."""

_FLAT = 1e-30
"""A softmax scale at which every score is 0 in float32; 0 itself makes some kernels multiply 0 by infinity."""


def window(attention: nn.Module, tokens: Value, undo: ExitStack) -> str:
    """Each token sees itself and the `tokens` - 1 before it, of those the module lets it see."""
    if not isinstance(tokens, int):
        raise TypeError(f"attention_window takes a whole number, got {tokens!r}")
    signature = inspect.signature(attention.forward)

    def narrow(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.arguments["attention_mask"] = _narrowed(module, bound.arguments, tokens)
        return bound.args, bound.kwargs

    undo.callback(attention.register_forward_pre_hook(narrow, with_kwargs=True).remove)
    return _take_masks(attention, undo)


def alone(attention: nn.Module, _: Value, undo: ExitStack) -> str:
    """Each token sees itself only."""
    return window(attention, 1, undo)


def can_flatten(attention: nn.Module) -> bool:
    """Whether the scores can be made equal: by the softmax scale, or by the queries' projection."""
    return isinstance(getattr(attention, "scaling", None), float) or isinstance(
        getattr(attention, "q_proj", None), nn.Module
    )


def uniform(attention: nn.Module, _: Value, undo: ExitStack) -> str:
    """Every key that a token may see gets the same weight; causality and a window of the module's own stay."""
    if isinstance(getattr(attention, "scaling", None), float):
        swap_attribute(attention, "scaling", _FLAT, undo)
    else:
        undo.callback(attention.get_submodule("q_proj").register_forward_hook(_zero).remove)
    return ""


def _zero(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
    return torch.zeros_like(output)


def _narrowed(module: nn.Module, arguments: dict[str, Any], tokens: int) -> Tensor:
    """An additive mask [1 or batch, 1, queries, keys] of the window, and of the mask given, if any."""
    states = arguments["hidden_states"]
    queries, keys = _positions(module, arguments, states.shape[1], states.device)
    away = queries[:, None] - keys[None, :]
    seen = (away >= 0) & (away < tokens)
    mask = torch.zeros(seen.shape, dtype=states.dtype, device=states.device).masked_fill_(~seen, float("-inf"))
    given = arguments.get("attention_mask")
    if given is None:
        return mask[None, None]
    if given.dtype == torch.bool:
        return mask.masked_fill(~given, float("-inf"))
    return given + mask


def _positions(
    module: nn.Module, arguments: dict[str, Any], length: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Positions of queries and keys; with a cache the keys begin before the queries."""
    values = [*arguments.values(), *arguments.get("kwargs", {}).values()]
    cache = next((value for value in values if hasattr(value, "get_mask_sizes")), None)
    past, keys, first = 0, length, 0
    if cache is not None:
        layer = arguments.get("layer_idx", getattr(module, "layer_idx", getattr(module, "layer_id", 0)))
        past = int(cache.get_seq_length(layer))
        keys, first = cache.get_mask_sizes(length, layer)
    return torch.arange(past, past + length, device=device), torch.arange(first, first + keys, device=device)


def _take_masks(attention: nn.Module, undo: ExitStack) -> str:
    """Falls back to eager attention where the implementation takes no mask; returns what was done."""
    config: Any = attention.config
    used = getattr(config, "_attn_implementation", None)
    if used is None or used in _MASKABLE:
        return ""
    swap_attribute(config, "_attn_implementation", "eager", undo)
    return f"{used} attention takes no mask of its own, eager attention is used"
