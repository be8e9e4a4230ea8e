"""The architectural share of one quantity, its interval over examples and seeds, and its verdict."""

import math
from dataclasses import dataclass

import numpy as np

from repflow.core import interval

FLOOR = 0.0
"""The mean cosine between isotropic random vectors."""
ARCHITECTURE = 0.8
"""A share is the architecture's when its whole interval is at least this."""
TRAINING = 0.2
"""A share is training's when its whole interval is below this."""
LEAST_EXAMPLES = 8
LEAST_SEEDS = 3
"""With fewer examples or seeds there is no verdict."""

TOO_WIDE = "the interval is too wide"
MORE = "random weights give more than the trained ones"

Span = tuple[float, float, float]
"""A value and its 95% interval, NaN where there is none."""
NONE: Span = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Case:
    """One quantity of a trained subject and of its draws under one scheme, read on the same examples."""

    trained: float
    trained_replicates: np.ndarray
    """[B]"""
    random: np.ndarray
    """[seeds]"""
    random_replicates: np.ndarray
    """[seeds, B], the weights of each replicate those of `trained_replicates`."""
    n: int
    """Resampling units."""


@dataclass(frozen=True)
class Share:
    """What comes of a `Case`."""

    trained: Span
    random: Span
    difference: Span
    """Random minus trained, paired by example."""
    share: Span
    """NaN where the trained value is not clear of the floor."""
    seeds: int
    seed_spread: float
    n: int
    verdict: str
    reason: str


def share_of(case: Case) -> Share:
    """(random - floor) / (trained - floor) with an interval over examples and seeds, and the verdict it allows.

    The trained weights began as one draw too. The error between seeds of what sets them beside the mean of S draws is
    therefore sqrt(1 + 1/S) times the spread; that of the mean alone sqrt(1/S).
    """
    mean, replicates, seeds = float(case.random.mean()), case.random_replicates.mean(0), len(case.random)
    spread = float(case.random.std(ddof=1)) if seeds > 1 else math.nan
    apart = spread * math.sqrt(1 + 1 / seeds)
    low, high = (float(end) for end in interval(case.trained_replicates, case.n))
    random = spanned(mean, replicates, case.n, spread / math.sqrt(seeds), seeds)
    difference = spanned(mean - case.trained, replicates - case.trained_replicates, case.n, apart, seeds)
    share = _ratio(case, apart) if low > FLOOR else NONE
    verdict, reason = verdict_of(share, case.n, seeds)
    if reason == TOO_WIDE:
        reason += f"; more {'examples' if 2 * _width(_ratio(case, 0.0)) > _width(share) else 'seeds'} narrow it"
    return Share((case.trained, low, high), random, difference, share, seeds, spread, case.n, verdict, reason)


def _ratio(case: Case, error: float) -> Span:
    """The share, its interval widened by an error between seeds of the random value."""
    height = case.trained - FLOOR
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (case.random_replicates.mean(0) - FLOOR) / (case.trained_replicates - FLOOR)
    value = (float(case.random.mean()) - FLOOR) / height
    return spanned(value, ratios, case.n, error / height, len(case.random))


def _width(span: Span) -> float:
    return span[2] - span[1]


def spanned(value: float, replicates: np.ndarray, n: int, error: float, seeds: int) -> Span:
    """A value with the interval of its replicates [B], widened on each side by `error`, the one between seeds.

    The half-width over examples is that of Student's t with n - 1 degrees of freedom, that between seeds has
    seeds - 1; their variances add, with the degrees of freedom of Welch and Satterthwaite. Without error between seeds
    the interval is that over examples; NaN where either cannot be told.
    """
    low, high = (float(end) for end in interval(replicates, n))
    return value, value - widened(value - low, n, error, seeds), value + widened(high - value, n, error, seeds)


def widened(half: float, n: int, error: float, seeds: int) -> float:
    """A half-width over n examples, and an error between seeds estimated from their spread, as one half-width."""
    from scipy import special

    if not (math.isfinite(half) and math.isfinite(error)) or n < 2:
        return math.nan
    examples = (max(half, 0.0) / float(special.stdtrit(n - 1, 0.975))) ** 2
    both = examples + error**2
    if both == 0:
        return 0.0
    freedom = both**2 / (examples**2 / (n - 1) + error**4 / (seeds - 1))
    return float(special.stdtrit(freedom, 0.975)) * math.sqrt(both)


def verdict_of(share: Span, n: int, seeds: int) -> tuple[str, str]:
    """The verdict on one scheme, and why where the share does not say it."""
    value, low, high = share
    if n < LEAST_EXAMPLES:
        return "undecided", f"{n} examples, needs {LEAST_EXAMPLES}"
    if seeds < LEAST_SEEDS:
        return "undecided", f"{seeds} seeds, needs {LEAST_SEEDS}"
    if math.isnan(value):
        return "undecided", "the trained value is not clear of that of random vectors: nothing to attribute"
    if math.isnan(low) or math.isnan(high):
        return "undecided", "no interval"
    if low >= ARCHITECTURE:
        return "architecture", MORE if low > 1 else ""
    if high < TRAINING:
        return "training", ""
    if low >= TRAINING and high < ARCHITECTURE:
        return "mixed", ""
    return "undecided", TOO_WIDE
