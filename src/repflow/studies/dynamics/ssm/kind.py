"""What must be known of a kind of mixer to read its recurrence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from repflow.studies.dynamics.ssm.recurrence import Recurrence


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of mixer: how it is told, which of its parts is watched, and what that part says."""

    name: str
    unit: Literal["channel", "head"]
    part: str
    """The part that is watched, by its name inside the mixer; empty for the mixer itself."""
    fits: Callable[[nn.Module], bool]
    sizes: Callable[[Any], tuple[int, int]]
    """Units, and values of the transition a unit."""
    read: Callable[[Any, Tensor, Tensor], Recurrence]
    """The recurrence, from the mixer and the watched part's input and output [n, t, ...]."""


def has(module: nn.Module, *names: str) -> bool:
    """Whether a module has these parts, parameters or settings."""
    return all(hasattr(module, name) for name in names)
