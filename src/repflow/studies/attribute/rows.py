"""The rows of an attribution run: trained weights against weights drawn anew. Plain frozen data, one table a class."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShareRow:
    """What one scheme gives in one third of depth beside the trained weights: a line of shares.parquet."""

    subject: str
    """The trained subject; of several trainings of one architecture taken together `all N trainings`."""
    family: str
    task: str
    context: int
    metric: str
    variant: str
    tokens: str
    scheme: str
    """Of `@init=`; `normal+matched` and the like are drawn at the trained scale."""
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
    """Random minus trained, paired by unit; the interval takes in units, draws and trainings."""
    difference_low: float
    difference_high: float
    share: float
    """Random over trained; NaN where the trained value is not clearly above 0."""
    share_low: float
    share_high: float
    """Infinite where the trained value is not clear of what a single draw may be."""
    seeds: int
    """Draws."""
    seed_spread: float
    """Standard deviation of the random value between draws; NaN for one."""
    n_examples: int
    verdict: str
    """`architecture`, `reduced by training`, `training`, `mixed` or `undecided`; corrected for being one of several."""
    reason: str
    """Why, where the verdict alone does not say it."""
    uncorrected: str = ""
    """The verdict by itself."""
    p: float = math.nan
    """That the share is not where the verdict says; NaN where nothing can be said of so few units or draws."""
    p_holm: float = math.nan
    """The same among all verdicts of the scheme, variant and token policy (Holm 1979)."""
    family_size: int = 0
    """How many these are."""
    unit_error: float = math.nan
    """Standard error of the difference over units alone."""
    n_units: int = 0
    """What is resampled: examples of one unit count as one."""
    trainings: int = 1


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
