"""Changes that leave the original object untouched, so that undoing them restores every bit."""

from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn


def swap_parameter(module: nn.Module, name: str, values: Tensor, undo: ExitStack) -> None:
    """Puts another parameter in place of `module.name`; `undo` puts the original object back."""
    kept = module.get_parameter(name)
    undo.callback(setattr, module, name, kept)
    setattr(module, name, nn.Parameter(values.to(kept), requires_grad=kept.requires_grad))


def swap_attribute(holder: Any, name: str, value: Any, undo: ExitStack) -> None:
    """Sets an attribute; `undo` sets it back."""
    undo.callback(setattr, holder, name, getattr(holder, name))
    setattr(holder, name, value)
