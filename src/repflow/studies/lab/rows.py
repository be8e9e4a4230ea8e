"""What a line of a lab's table is."""

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
