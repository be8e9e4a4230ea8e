"""contrastive_tokens: InfoNCE across positions and depth, low while each token can be told from its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from repflow.core import BadSetting, Site
from repflow.training.losses.numerics import Counted, States, all_counted, directions, lean, mean_where
from repflow.training.losses.sites import Sites, blocks_of, choose
from repflow.training.losses.term import check_weight

TEMPERATURE = 0.1


def contrastive_tokens(
    before: States, states: States, counted: Counted | None = None, *, temperature: float = TEMPERATURE
) -> Float[Tensor, ""]:
    """Mean over sequences, and over their tokens i, of -log softmax_j(cos(h_i, g_j) / temperature) at j = i.

    h are the states at a site, g those at the site before. The positive of a token is its own state one site earlier,
    the negatives are the states of the sequence's other tokens there; the matrix is of cosines.

    Args:
        before, states: [sequences, tokens, width], any float type; computed in float32 (float64 if they are).
        counted: [sequences, tokens], True where a token counts; all by default. Tokens without a direction at either
            site never do.
        temperature: the smaller, the more the nearest other tokens decide.

    Range: [0, log n + 2 / temperature] for n tokens, and at least log n once the tokens of either site all point the
    same way: it is the cross-entropy (nats) of picking a token's own earlier state among the n by cosine, so exp(value)
    is the number of tokens it is taken for. While every token's value is below v, any two directions at the site lie
    at least -temperature * log(exp(v) - 1) apart.
    A sequence with fewer than two such tokens is left out; 0 if that leaves none.
    Cost: O(tokens^2 * width) and, one site at a time, [sequences, tokens, tokens] numbers.
    Source: InfoNCE (van den Oord et al. 2018, arXiv:1807.03748) with cosines and temperature; tokens of one sequence
    as each other's negatives: SimCTG (Su et al. 2022, arXiv:2202.06417). The site before as the positive is ours.
    """
    mask = all_counted(states, counted)
    loss, defined = lean(_by_sequence)(before, states, mask, temperature)
    return mean_where(loss, defined)


def _by_sequence(
    before: States, states: States, counted: Counted, temperature: float
) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    keys, has_key = directions(before, counted)
    units, has = directions(states, has_key)
    logits = (units / temperature @ keys.mT).masked_fill(~has[:, None, :], torch.finfo(keys.dtype).min)
    per_token = logits.logsumexp(-1) - logits.diagonal(dim1=1, dim2=2)
    return mean_where(per_token, has), has.sum(-1) > 1


@dataclass(frozen=True, slots=True)
class ContrastiveTokens:
    """The mean of `contrastive_tokens` over sites, all blocks by default, each against the site before it."""

    name = "contrastive_tokens"

    weight: float
    temperature: float = TEMPERATURE
    sites: Sites = None

    def __post_init__(self) -> None:
        check_weight(self.name, self.weight)
        if not 0.0 < self.temperature < float("inf"):
            raise BadSetting(f"the temperature of {self.name} must be above 0, got {self.temperature}")

    def groups(self, known: Sequence[Site]) -> tuple[tuple[Site, ...], ...]:
        chosen = choose(self.sites, known, blocks_of(known))
        if known[0] in chosen:
            raise BadSetting(
                f"{self.name} compares a site with the one before it, and there is none before {known[0].name}; "
                "leave it out of sites"
            )
        return tuple(pair for pair in pairwise(known) if pair[1] in chosen)

    def value(self, states: Sequence[States], counted: Counted) -> Tensor:
        return contrastive_tokens(states[0], states[1], counted, temperature=self.temperature)
