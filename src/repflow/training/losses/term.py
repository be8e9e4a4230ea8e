"""What a loss is to the hooks: a weight, the sites it reads, a value of their states."""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from repflow.core import BadSetting, Site, unknown
from repflow.training.losses.numerics import Counted, States


@runtime_checkable
class Term(Protocol):
    """One auxiliary loss with its settings."""

    @property
    def name(self) -> str:
        """Under which its value is told; no two terms share it."""
        ...

    @property
    def weight(self) -> float | Tensor:
        """What the value is multiplied by before it is added."""
        ...

    def groups(self, known: Sequence[Site]) -> tuple[tuple[Site, ...], ...]:
        """The sites to read together; the term is the mean of `value` over the groups."""
        ...

    def value(self, states: Sequence[States], counted: Counted) -> Tensor:
        """The loss of one group's states, a scalar with gradients; 0 where no sequence defines it."""
        ...


Losses = Mapping[str, float] | Sequence[Term]
"""Weights by loss name, or terms with their settings."""


def terms_of(losses: Losses, known: Mapping[str, type]) -> tuple[Term, ...]:
    """The terms that were asked for. Raises UnknownName or BadSetting."""
    if isinstance(losses, Mapping):
        for name in losses:
            if name not in known:
                raise unknown("flow loss", name, known)
        terms = tuple(known[name](weight) for name, weight in losses.items())
    else:
        terms = tuple(losses)
        if strange := [term for term in terms if not isinstance(term, Term)]:
            raise BadSetting(
                f'flow losses are weights by name, {{"token_diversity": 0.1}}, or terms; got {strange[0]!r}'
            )
    names = [term.name for term in terms]
    if not names or len(set(names)) < len(names):
        raise BadSetting(f"give at least one flow loss and each name once, got {', '.join(names) or 'none'}")
    return terms


def check_weight(name: str, weight: float) -> None:
    """Raises BadSetting unless the weight is a number of 0 or more."""
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
        raise BadSetting(f"the weight of {name} must be a number of 0 or more, got {weight!r}")
