"""The rows of an ablation run. Plain frozen data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AblationRow:
    """One number of a subject before and after a change: a line of ablations.parquet."""

    subject: str
    """The subject as it is named in the run, without the change."""
    changed: str
    """The changed subject, by its label in the other tables."""
    family: str
    what: str
    """What was changed: `norm_reset`, `attention_window:64`, several joined by `+`."""
    blocks: str
    """Where: `all`, `block.3`, `block.0-5`, `final`; joined by `+` where several changes differ in it."""
    task: str
    context: int
    metric: str
    """A metric of the flow, `next_token_loss` (nats a token) or `answer_accuracy` (share of right answers)."""
    variant: str
    tokens: str
    scope: str
    """`early`, `middle` or `late`: the mean over that third's blocks; `final_norm`; `all`: the whole model."""
    base: float
    """Before the change."""
    base_low: float
    base_high: float
    value: float
    """After it."""
    value_low: float
    value_high: float
    difference: float
    """After minus before; its interval is paired, example by example."""
    difference_low: float
    difference_high: float
    n_examples: int
