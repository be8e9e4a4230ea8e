"""The rows of a dynamics run. Plain frozen data, one table a class."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """One number on the discrete transitions of one block's state-space mixer: a line of transitions.parquet."""

    subject: str
    family: str
    init: str
    task: str
    context: int
    site: str
    site_index: int
    depth: float
    mixer: str
    """`mamba`, `mamba2` or `rg_lru`."""
    quantity: str
    """`transition` (A_bar), `half_life` and `horizon` (tokens), `memory` (product over a window), `state_norm`."""
    statistic: str
    """`mean`, `min`, `max`, a quantile `q01` .. `q99`, `share_above_0.999`, `share_beyond`, `lag_1`, `lag_2` .."""
    value: float
    ci_low: float
    ci_high: float
    n_examples: int


@dataclass(frozen=True, slots=True)
class InfluenceRow:
    """How a token's last state depends on embeddings some distance before it: a line of influence.parquet."""

    subject: str
    family: str
    init: str
    task: str
    context: int
    distance: int
    """The first of the distances in tokens that this row covers."""
    distance_to: int
    """The last of them."""
    value: float
    """||d h_t(last block) / d h_{t-k}(embed)||_F: root mean square over examples, tokens t and distances k."""
    ci_low: float
    ci_high: float
    share: float
    """Share of the squared norm over all distances measured."""
    share_low: float
    share_high: float
    n_examples: int
    n_tokens: int
    """Tokens t sampled, over all examples."""


@dataclass(frozen=True, slots=True)
class RecencyRow:
    """How fast influence falls with distance: a line of recency.parquet."""

    subject: str
    family: str
    init: str
    task: str
    context: int
    slope: float
    """Of log influence against log distance, from 1 on: -1 where twice the distance halves the influence."""
    ci_low: float
    ci_high: float
    reach: int
    """The longest distance."""
    n_examples: int


@dataclass(frozen=True, slots=True)
class BoundRow:
    """One bound beside what it bounds: a line of bounds.parquet."""

    subject: str
    family: str
    init: str
    task: str
    context: int
    site: str
    """The block whose state is bounded; `path` for the paths of tokens through all blocks."""
    depth: float
    """NaN for a path."""
    name: str
    """Of blocks `rho`, `memory`, `memory_mean`, `state_norm`, `state_norm_by_unit`; of paths `envelope`, `poincare`."""
    lag: int | None
    """Tokens back; None where the bound has none."""
    tokens: str
    """Which tokens count."""
    bound: float
    measured: float
    ratio: float
    """Bound over measured, where they come closest: at least 1 where the bound holds."""
    use: float
    """Measured over bound; of paths, the mean over paths."""
    use_low: float
    use_high: float
    vacuous: bool
    """The bound says nothing: rho > 1 - 1e-6."""
    n: int
    """Transitions, products, states or paths measured."""
    sampled: bool | None = None
    """True where `measured` is of a sample of tokens; False where it is of all; None in runs that did not say."""
