"""What the losses share: exact types, directions of states, means over what is defined."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from repflow.core import BadSetting

FLOOR = 1e-12
"""A state of a smaller norm has no direction: the gradient of its direction would be of the order of 1 / norm."""

States = Float[Tensor, "n t d"]
Counted = Bool[Tensor, "n t"]

P = ParamSpec("P")
R = TypeVar("R")


def exact(states: States, counted: Counted) -> States:
    """The states in float32, or in float64 if they are, zero at tokens that do not count."""
    wide = states if states.dtype == torch.float64 else states.float()
    return wide.masked_fill(~counted[..., None], 0.0)


def directions(states: States, counted: Counted) -> tuple[States, Counted]:
    """Exact states at unit norm, and which tokens have a direction; the others are zero, and so is their gradient."""
    wide = exact(states, counted)
    norm = torch.linalg.vector_norm(wide, dim=-1)
    has = counted & (norm > FLOOR)
    return wide * torch.where(has, norm.clamp(min=FLOOR).reciprocal(), 0.0)[..., None], has


def lean(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, of which the backward pass keeps the inputs only; autocasting is off inside."""

    def plain(*args: P.args, **kwargs: P.kwargs) -> R:
        kind = next(arg for arg in args if isinstance(arg, Tensor)).device.type
        with torch.autocast(kind, enabled=False):
            return function(*args, **kwargs)

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return checkpoint(plain, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return run


def mean_where(values: Tensor, defined: Tensor) -> Tensor:
    """Mean along the last dimension over defined entries; 0 where there is none."""
    return torch.where(defined, values, 0.0).sum(-1) / defined.sum(-1).clamp(min=1)


def all_counted(states: States, counted: Counted | None) -> Counted:
    """The mask given, checked and on the states' device; by default every token counts."""
    if counted is None:
        return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    if counted.shape != states.shape[:2]:
        raise BadSetting(
            f"counted must be [sequences, tokens] {list(states.shape[:2])} as the states are, got {list(counted.shape)}"
        )
    return counted.to(states.device)
