"""token_diversity: a penalty on tokens of one sequence that point the same way."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from repflow.core import BadSetting, Site
from repflow.training.losses.numerics import Counted, States, all_counted, directions, lean, mean_where
from repflow.training.losses.sites import Sites, blocks_of, choose
from repflow.training.losses.term import check_weight

MARGIN = 0.5


def token_diversity(states: States, counted: Counted | None = None, *, margin: float = MARGIN) -> Float[Tensor, ""]:
    """Mean over sequences of max(0, inter_token_cosine - margin); in [0, 1 - margin].

    Args:
        states: [sequences, tokens, width], any float type; computed in float32 (float64 if they are).
        counted: [sequences, tokens], True where a token counts; all by default. Tokens without a direction never do.
        margin: mean cosine up to which nothing is paid.

    A sequence with fewer than two such tokens is left out; 0 if that leaves none.
    Cost: O(tokens * width); the matrix of cosines is never built.
    Source: the quantity is METHODS' inter_token_cosine, the hinge that of SimCTG (Su et al. 2022, arXiv:2202.06417,
    whose rho is 1 - margin), here on the mean over pairs and not on each pair.
    """
    cosine, defined = lean(inter_token_cosine)(states, all_counted(states, counted))
    return mean_where(torch.relu(cosine - margin), defined)


def inter_token_cosine(states: States, counted: Counted) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """Mean cosine over pairs of counted tokens, by sequence, and which sequences have a pair; 0 where there is none."""
    units, has = directions(states, counted)
    count = has.sum(-1)
    pairs = count * (count - 1)
    cosine = (units.sum(1).square().sum(-1) - count) / pairs.clamp(min=1)
    return torch.where(pairs > 0, cosine, 0.0), pairs > 0


@dataclass(frozen=True, slots=True)
class TokenDiversity:
    """The mean of `token_diversity` over sites, all blocks by default."""

    name = "token_diversity"

    weight: float
    margin: float = MARGIN
    sites: Sites = None

    def __post_init__(self) -> None:
        check_weight(self.name, self.weight)
        if not -1.0 <= self.margin < 1.0:
            raise BadSetting(f"the margin of {self.name} must be in [-1, 1), got {self.margin}")

    def groups(self, known: Sequence[Site]) -> tuple[tuple[Site, ...], ...]:
        return tuple((site,) for site in choose(self.sites, known, blocks_of(known)))

    def value(self, states: Sequence[States], counted: Counted) -> Tensor:
        return token_diversity(states[0], counted, margin=self.margin)
