"""Residual interventions: a block's update scaled, its skip path cut. Both on the block as a whole."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from repflow.models.interventions.grammar import Value
from repflow.models.recording import input_state, output_state

Change = Callable[[Tensor, Tensor], Tensor]
"""The state given and the state made, to what is handed on."""


def scale(block: nn.Module, factor: Value, undo: ExitStack) -> str:
    """The output becomes h + factor * update, update = output - h. A factor of 1 changes no bit, 0 hands on h."""
    if not isinstance(factor, int | float):
        raise TypeError(f"residual_scaled takes a number, got {factor!r}")
    _hook(block, lambda given, made: torch.lerp(given, made, float(factor)), undo)
    return ""


def cut(block: nn.Module, _: Value, undo: ExitStack) -> str:
    """The output becomes the update alone: what the block adds, without the stream it adds it to."""
    _hook(block, lambda given, made: made - given, undo)
    return ""


def _hook(block: nn.Module, change: Change, undo: ExitStack) -> None:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        given, made = input_state(args, kwargs), output_state(output)
        if given is None or made is None:
            return output
        changed = change(given.to(made.dtype), made)
        return type(output)((changed, *output[1:])) if isinstance(output, tuple | list) else changed

    undo.callback(block.register_forward_hook(hook, with_kwargs=True).remove)
