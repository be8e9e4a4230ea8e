"""The rows of a paper run. Plain frozen data, one table a class."""

import math
from dataclasses import dataclass

HOLDS, FAILS, UNDECIDED, UNTESTABLE = "holds", "fails", "undecided", "not testable here"
VERDICTS = (HOLDS, FAILS, UNDECIDED, UNTESTABLE)


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One statistic of a claim, of one model or of all models of a kind together: a line of claims.parquet."""

    claim: str
    """`A1` to `F1`."""
    statistic: str
    """The quantity that decides, written out."""
    detail: str
    """What tells this reading from others: a scheme, a change, what is probed and where; empty for the only one."""
    rule: str
    """What it must be for the claim to hold."""
    subject: str | None
    """None in the line of all models together."""
    kind: str
    """The subject's kind; in the line of all models together the kind that the claim is about."""
    models: int
    """How many models the line rests on: 1, or those of the kind that could be judged."""
    part: str
    """The run inside this one that holds the rows behind it."""
    task: str
    context: int
    value: float
    """Of one model; NaN in the line of all together."""
    ci_low: float
    ci_high: float
    threshold: float
    """NaN where models are compared with each other."""
    verdict: str
    """`holds`, `fails`, `undecided` or `not testable here`; empty for a model that the claim is not about."""
    reason: str
    """Why, where the numbers alone do not say it."""
    hf: str = ""
    """The verdict where Hugging Face's list of hidden states is read for the layers; empty where that changes nothing
    or was not measured."""
    all_tokens: str = ""
    """The verdict where all tokens count, sinks too; likewise."""
    centred: str = ""
    """The verdict with centred states in place of raw ones; likewise."""
    n_units: int | None = None
    """Resampling units behind the interval; None in the line of all models together."""
    hf_value: float = math.nan
    all_tokens_value: float = math.nan
    centred_value: float = math.nan
