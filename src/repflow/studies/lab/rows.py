"""What a line of a lab's tables is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellRow:
    """What one model answered at one step of its training: a line of cells.parquet."""

    subject: str
    """The cell: architecture, added loss where there is one, and seed."""
    architecture: str
    loss: str
    """Name of the added loss in the grid; `none` without."""
    seed: int
    step: int
    """Optimiser steps before."""
    task: str
    """pairs (values of single tokens), kvpr (prompts with keys and values of four digits) or text."""
    context: int
    right: int | None
    """Answers said rightly in every token, given the tokens before; None for text."""
    answers: int | None
    nats: float
    """Mean loss of the labelled tokens."""


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A cell that came to nothing: a line of failures.parquet."""

    subject: str
    architecture: str
    loss: str
    seed: int
    reason: str


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """One number of one model at the end of its training: a line of outcomes.parquet."""

    subject: str
    architecture: str
    loss: str
    seed: int
    trained: bool
    outcome: str
    """Its name in `outcomes.OUTCOMES`."""
    value: float
    answers: int | None
    """Questions behind a share of answers; None for what is no share."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One outcome over the seeds of one architecture and loss: a line of groups.parquet."""

    architecture: str
    loss: str
    trained: bool
    outcome: str
    mean: float
    ci_low: float
    ci_high: float
    """95%, Student's t over trainings; NaN for one training."""
    least: float
    most: float
    trainings: int


@dataclass(frozen=True, slots=True)
class ContrastRow:
    """The difference of two groups in one outcome: a line of contrasts.parquet."""

    architecture: str
    loss: str
    than_architecture: str
    than_loss: str
    outcome: str
    difference: float
    ci_low: float
    ci_high: float
    """95% for all contrasts of the outcome at once (Bonferroni), Welch's t over trainings."""
    contrasts: int
    """How many of this outcome are told at once."""
    trainings: int
    than_trainings: int


@dataclass(frozen=True, slots=True)
class SlopeRow:
    """The change of an outcome when one size doubles, the rest held: a line of slopes.parquet."""

    family: str
    trained: bool
    factor: str
    """depth, width or state."""
    outcome: str
    slope: float
    """Change a doubling, by least squares over the models."""
    ci_low: float
    ci_high: float
    levels: str
    """The sizes, like 4 8 12 24."""
    models: int
