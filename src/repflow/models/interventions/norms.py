"""Norm interventions: the affine part reset, the norm removed."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from repflow.models.initialise import neutral_weight
from repflow.models.interventions.grammar import Value
from repflow.models.interventions.swap import swap_parameter
from repflow.models.recording import input_state


def has_affine(norm: nn.Module) -> bool:
    """Whether the norm has a weight to reset."""
    return isinstance(getattr(norm, "weight", None), nn.Parameter)


def reset(norm: nn.Module, _: Value, undo: ExitStack) -> str:
    """The weight gets the value that leaves the output unscaled (1, or 0 for norms that multiply by 1 + weight)."""
    weight = norm.get_parameter("weight")
    swap_parameter(norm, "weight", torch.full_like(weight, neutral_weight(norm)), undo)
    if isinstance(getattr(norm, "bias", None), nn.Parameter):
        swap_parameter(norm, "bias", torch.zeros_like(norm.get_parameter("bias")), undo)
    return ""


def remove(norm: nn.Module, _: Value, undo: ExitStack) -> str:
    """The norm hands on what it was given."""

    def unchanged(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        given = input_state(args, kwargs)
        return output if given is None else given.to(output.dtype)

    undo.callback(norm.register_forward_hook(unchanged, with_kwargs=True).remove)
    return ""
