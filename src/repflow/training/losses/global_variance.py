"""v_glob: a penalty on paths through depth that spread far."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from repflow.core import Site
from repflow.training.losses.numerics import Counted, States, lean
from repflow.training.losses.path import Variant, View, check_variant, path_groups, path_mean
from repflow.training.losses.sites import Sites
from repflow.training.losses.term import check_weight


def v_glob(path: Sequence[States], counted: Counted | None = None, *, variant: Variant = "rms") -> Float[Tensor, ""]:
    """Global variance of the tokens' paths h_0 .. h_L: the mean over l of ||h_l - mean of all h||^2; 0 or more.

    Args:
        path: the states at L + 1 sites, each [sequences, tokens, width]; computed in float32 (float64 if they are).
        counted: [sequences, tokens], True where a token counts; all by default.
        variant: `rms`, divided by the token's own mean ||h_l||^2 (blind to scale, at most 1); `raw`; `unit`, with
            every h_l on the unit sphere (at most 1).

    The mean over a sequence's tokens, then over sequences; tokens whose scale is zero and sequences without tokens are
    left out; 0 if that leaves none. Raises BadSetting below two sites, UnknownName for another variant.
    Source: METHODS' v_glob. Cost: O(L * tokens * width).
    """
    check_variant(variant)
    return path_mean(_spread, path, counted, variant)


def _spread(view: View, path: Sequence[States], counted: Counted) -> Tensor:
    mean = lean(view)(path[0], counted) / len(path)
    for states in path[1:]:
        mean = mean + lean(view)(states, counted) / len(path)
    return torch.stack([lean(_gap)(view, mean, states, counted) for states in path]).mean(0)


def _gap(view: View, mean: States, states: States, counted: Counted) -> Tensor:
    return (view(states, counted) - mean).square().sum(-1)


@dataclass(frozen=True, slots=True)
class VGlob:
    """`v_glob` of the path through `embed` and all blocks, or through the sites named."""

    name = "v_glob"

    weight: float
    variant: Variant = "rms"
    sites: Sites = None

    def __post_init__(self) -> None:
        check_weight(self.name, self.weight)
        check_variant(self.variant)

    def groups(self, known: Sequence[Site]) -> tuple[tuple[Site, ...], ...]:
        return path_groups(self.name, self.sites, known)

    def value(self, states: Sequence[States], counted: Counted) -> Tensor:
        return v_glob(states, counted, variant=self.variant)
