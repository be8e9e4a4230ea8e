"""The statistics that decide the paper's claims: what is read of which run, and what it must be."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from repflow.studies.paper import readings
from repflow.studies.paper.curves import QUARTER, THIRD, TWO_THIRDS, Choice, Curve
from repflow.studies.paper.readings import Reading

if TYPE_CHECKING:
    import numpy as np

    from repflow.store import Run

TBM, SSM = "TBM", "SSM"
BOTH = (TBM, SSM)
ALTERNATIVES: Mapping[str, Choice] = {
    "hf": Choice(hf=True),
    "all_tokens": Choice(tokens="all"),
    "centred": Choice(variant="centred"),
}
"""The same decision with what others might have chosen."""
HIGH, LATE, LOW, TURN, NEAR_ONE, WEAKER, MORE, DROP = 0.80, 0.70, 0.20, 0.05, 0.95, -0.05, 0.02, 0.15
"""Thresholds; the first two and the last are the paper's own figures (METHODS, failure signatures)."""

Read = Callable[[Mapping[str, "Run"], str, Choice], Sequence[Reading]]


@dataclass(frozen=True)
class Statistic:
    """What decides a claim, or a part of it."""

    claim: str
    text: str
    kinds: tuple[str, ...]
    """Whom the claim is about."""
    part: str
    """The run inside the run that it is read of."""
    read: Read
    above: bool = True
    """Whether the claim holds above the threshold, or below it."""
    threshold: float = math.nan
    """NaN: the kinds are compared, the first of `kinds` must lie above the other (below, where `above` is False)."""
    alternatives: tuple[str, ...] = ()
    """Those of `ALTERNATIVES` that it can be read with."""
    within: tuple[float, float] | None = None
    """In place of a threshold: depths between which it must lie, give or take a block."""
    retrieval: bool = False
    """Whether it can only be told of models that give the answer."""

    @property
    def compares(self) -> bool:
        return math.isnan(self.threshold) and self.within is None

    @property
    def rule(self) -> str:
        """What it must be, in words."""
        if self.compares:
            one, other = ("every " + _SHORT[kind] for kind in self.kinds)
            return f"{one} {'above' if self.above else 'below'} {other}"
        if self.within is not None:
            low, high = (f"{end:.2f}" for end in self.within)
            return f"{low if low == high else f'{low} to {high}'}, give or take a block"
        return f"{'above' if self.above else 'below'} {self.threshold:.7g}"


_SHORT = {TBM: "Transformer", SSM: "state-space model"}
_ALL = ("hf", "all_tokens", "centred")


def _along(metric: str, made: "Callable[[Curve], np.ndarray]") -> Read:
    return lambda runs, label, choice: readings.along(runs, label, choice, metric, made)


ADJACENT, LIKENESS = "adjacent_cosine", "inter_token_cosine"

STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        "A1", "adjacent cosine, mean of the middle third of depth", (TBM,), "flow",
        _along(ADJACENT, lambda c: c.mean(THIRD, TWO_THIRDS)), True, NEAR_ONE, _ALL,
    ),
    Statistic(
        "A1", "adjacent cosine, mean of the middle third less the last layer", (TBM,), "flow",
        _along(ADJACENT, lambda c: c.mean(THIRD, TWO_THIRDS) - c.last()), True, TURN, _ALL,
    ),
    Statistic(
        "A2", "adjacent cosine, standard deviation over the layers, early third less late third", (SSM,), "flow",
        _along(ADJACENT, lambda c: c.spread(0, THIRD) - c.spread(TWO_THIRDS, 1)), True, 0.0, _ALL,
    ),
    Statistic(
        "B1", "inter-token cosine, mean of the first two thirds of depth", (TBM,), "flow",
        _along(LIKENESS, lambda c: c.mean(0, TWO_THIRDS)), True, HIGH, _ALL,
    ),
    Statistic(
        "B1", "inter-token cosine, mean of the first two thirds less the last layer", (TBM,), "flow",
        _along(LIKENESS, lambda c: c.mean(0, TWO_THIRDS) - c.last()), True, 0.10, _ALL,
    ),
    Statistic(
        "B1", "inter-token cosine, mean of the early third, Transformers beside state-space models", BOTH, "flow",
        _along(LIKENESS, lambda c: c.mean(0, THIRD)), True, math.nan, _ALL,
    ),
    Statistic(
        "B2", "inter-token cosine, mean of the first two thirds of depth", (SSM,), "flow",
        _along(LIKENESS, lambda c: c.mean(0, TWO_THIRDS)), False, LATE, _ALL,
    ),
    Statistic(
        "B2", "inter-token cosine, mean of the late third less that of the first two", (SSM,), "flow",
        _along(LIKENESS, lambda c: c.mean(TWO_THIRDS, 1) - c.mean(0, TWO_THIRDS)), True, 0.10, _ALL,
    ),
    Statistic(
        "C1", "inter-token cosine with weights drawn anew, mean of the early third", (TBM,), "attribute",
        readings.drawn("early"), True, HIGH, ("all_tokens", "centred"),
    ),
    Statistic(
        "C2", "inter-token cosine with weights drawn anew, mean of the late third", (SSM,), "attribute",
        readings.drawn("late"), False, LOW, ("all_tokens", "centred"),
    ),
    Statistic(
        "C2", "share of the trained likeness that drawn weights show, late third, the family's own scheme", (SSM,),
        "attribute", readings.share("late"), False, LOW, ("all_tokens", "centred"),
    ),
    Statistic(
        "C3", "inter-token cosine of the early third, changed less as it is", (TBM,), "ablate",
        readings.changed("early"), False, WEAKER, ("all_tokens", "centred"),
    ),
    Statistic("D1", "v_loc (rms)", (SSM, TBM), "flow", readings.path("v_loc"), False, math.nan, ("hf", "all_tokens")),
    Statistic("D1", "v_glob (rms)", (SSM, TBM), "flow", readings.path("v_glob"), False, math.nan, ("hf", "all_tokens")),
    Statistic(
        "D2", "path energy (rms)", (TBM, SSM), "flow",
        readings.path("path_energy"), True, math.nan, ("hf", "all_tokens"),
    ),
    Statistic(
        "D3", "1 less the largest transition of any block, token and channel (rho)", (SSM,), "dynamics",
        readings.contraction, True, 1e-6,
    ),
    Statistic(
        "E1", "accuracy at the best site less the last block", BOTH, "probe", readings.gap, True, MORE, ("hf",),
        retrieval=True,
    ),
    Statistic(
        "E2", "depth of the best site of Transformers", (TBM,), "probe", readings.peak,
        within=(10 / 32, 10 / 32), retrieval=True,
    ),
    Statistic(
        "E2", "depth of the best site of state-space models", (SSM,), "probe", readings.peak,
        within=(4 / 64, 14 / 64), retrieval=True,
    ),
    Statistic(
        "F1", "inter-token cosine, highest of the early third", (TBM,), "flow",
        _along(LIKENESS, lambda c: c.highest(0, THIRD)), True, HIGH, _ALL,
    ),
    Statistic(
        "F1", "inter-token cosine, mean of the last quarter of depth", (SSM,), "flow",
        _along(LIKENESS, lambda c: c.mean(QUARTER, 1)), True, LATE, _ALL,
    ),
    Statistic(
        "F1", "accuracy at the best site less the last block", BOTH, "probe", readings.gap, True, DROP, ("hf",),
        retrieval=True,
    ),
)  # fmt: skip
"""In the order of the claims."""
