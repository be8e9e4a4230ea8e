"""v_loc: a penalty on large steps through depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from repflow.core import Site
from repflow.training.losses.numerics import Counted, States, lean
from repflow.training.losses.path import Variant, View, check_variant, path_groups, path_mean
from repflow.training.losses.sites import Sites
from repflow.training.losses.term import check_weight


def v_loc(path: Sequence[States], counted: Counted | None = None, *, variant: Variant = "rms") -> Float[Tensor, ""]:
    """Local variance of the tokens' paths h_0 .. h_L: the mean of ||h_{l+1} - h_l||^2 / L; 0 or more.

    Args:
        path: the states at L + 1 sites, each [sequences, tokens, width]; computed in float32 (float64 if they are).
        counted: [sequences, tokens], True where a token counts; all by default.
        variant: `rms`, divided by the token's own mean ||h_l||^2 (blind to scale, at most 4 (L+1) / L); `raw`;
            `unit`, with every h_l on the unit sphere (at most 4).

    The mean over a sequence's tokens, then over sequences; tokens whose scale is zero and sequences without tokens are
    left out; 0 if that leaves none. Raises BadSetting below two sites, UnknownName for another variant.
    Source: METHODS' v_loc. Cost: O(L * tokens * width).
    """
    check_variant(variant)
    return path_mean(_mean_step, path, counted, variant)


def _mean_step(view: View, path: Sequence[States], counted: Counted) -> Tensor:
    return torch.stack([lean(_step)(view, a, b, counted) for a, b in pairwise(path)]).mean(0)


def _step(view: View, before: States, after: States, counted: Counted) -> Tensor:
    return (view(after, counted) - view(before, counted)).square().sum(-1)


@dataclass(frozen=True, slots=True)
class VLoc:
    """`v_loc` of the path through `embed` and all blocks, or through the sites named."""

    name = "v_loc"

    weight: float
    variant: Variant = "rms"
    sites: Sites = None

    def __post_init__(self) -> None:
        check_weight(self.name, self.weight)
        check_variant(self.variant)

    def groups(self, known: Sequence[Site]) -> tuple[tuple[Site, ...], ...]:
        return path_groups(self.name, self.sites, known)

    def value(self, states: Sequence[States], counted: Counted) -> Tensor:
        return v_loc(states, counted, variant=self.variant)
