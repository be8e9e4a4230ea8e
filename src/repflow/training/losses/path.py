"""Tokens' paths through depth, h_0 .. h_L: what v_loc and v_glob share."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from repflow.core import BadSetting, Site, unknown
from repflow.training.losses.numerics import FLOOR, Counted, States, all_counted, directions, exact, lean, mean_where
from repflow.training.losses.sites import Sites, choose, path_of

Variant = Literal["rms", "raw", "unit"]
"""How states are scaled: by the path's own root mean square, not at all, or each onto the unit sphere."""

View = Callable[[States, Counted], States]
"""States as a variant sees them."""


def path_mean(
    spread: Callable[[View, Sequence[States], Counted], Tensor],
    path: Sequence[States],
    counted: Counted | None,
    variant: Variant,
) -> Tensor:
    """Mean over sequences of the mean over tokens of `spread`, scaled; 0 where no token defines it."""
    _check_path(path)
    mask = all_counted(path[0], counted)
    squares = torch.stack([lean(_square_norm)(states, mask) for states in path])
    values, defined = spread(_units if variant == "unit" else exact, path, mask), mask
    if variant == "unit":
        defined = mask & (squares > FLOOR**2).all(0)
    if variant == "rms":
        scale = squares.mean(0)
        defined = mask & (scale > FLOOR**2)
        values = values / torch.where(defined, scale, 1.0)
    return mean_where(mean_where(values, defined), defined.any(-1))


def path_groups(name: str, sites: Sites, known: Sequence[Site]) -> tuple[tuple[Site, ...], ...]:
    """One group: the whole path, or the part of it that was named."""
    path = choose(sites, known, path_of(known))
    normed = [site.name for site in path if site.is_final_norm]
    if normed or len(path) < 2:
        given = ", ".join(normed or [site.name for site in path])
        raise BadSetting(f"{name} needs two sites or more, none of them after the final norm, got {given}")
    return (path,)


def check_variant(variant: str) -> None:
    """Raises UnknownName."""
    if variant not in get_args(Variant):
        raise unknown("path variant", variant, get_args(Variant))


def _check_path(path: Sequence[States]) -> None:
    if len(path) < 2 or len({states.shape for states in path}) > 1:
        shapes = ", ".join(str(list(states.shape)) for states in path) or "none"
        raise BadSetting(f"a path needs the states of two sites or more, all of one shape, got {shapes}")


def _units(states: States, counted: Counted) -> States:
    return directions(states, counted)[0]


def _square_norm(states: States, counted: Counted) -> Tensor:
    return exact(states, counted).square().sum(-1)
