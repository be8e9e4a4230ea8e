"""The rows of an attribution run: trained weights against weights drawn anew. Plain frozen data, one table a class."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShareRow:
    """What one scheme gives in one third of depth beside the trained weights: a line of shares.parquet."""

    subject: str
    """The trained subject."""
    family: str
    task: str
    context: int
    metric: str
    variant: str
    tokens: str
    scheme: str
    third: str
    """`early`, `middle` or `late`: the blocks at depths up to 1/3, 2/3 and 1."""
    trained: float
    """Mean over the blocks of the third."""
    trained_low: float
    trained_high: float
    random: float
    """The same of the drawn weights, mean over seeds."""
    random_low: float
    random_high: float
    difference: float
    """Random minus trained, paired by example."""
    difference_low: float
    difference_high: float
    share: float
    """(random - floor) / (trained - floor); NaN where the trained value is not clear of the floor."""
    share_low: float
    share_high: float
    seeds: int
    seed_spread: float
    """Standard deviation of the random value between seeds; NaN for one seed."""
    n_examples: int
    verdict: str
    """`architecture`, `training`, `mixed` or `undecided`."""
    reason: str
    """Why, where the verdict alone does not say it."""


@dataclass(frozen=True, slots=True)
class SchemeRow:
    """One scheme's mean over its seeds at one site: a line of schemes.parquet."""

    subject: str
    """The trained subject."""
    family: str
    task: str
    context: int
    metric: str
    variant: str
    tokens: str
    scheme: str
    site: str
    site_index: int
    depth: float
    value: float
    ci_low: float
    ci_high: float
    """The interval takes in the examples and the seeds; NaN for one seed."""
    seeds: int
    n_examples: int
