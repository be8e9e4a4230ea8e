"""What trained probes said about examples they had not seen: all that the summaries need."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int16, Integer

SOLVERS = ("adam", "lbfgs")
"""Of positions; values are read by ridge regression."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of R splits, S sites, N examples."""

    predicted: Int16[np.ndarray, "r s n"]
    """The class predicted, -1 where the example trained the probe."""
    control: Int16[np.ndarray, "r s n"] | None
    """The same of probes trained on `control_labels`; None without a control task."""
    labels: Integer[np.ndarray, " n"]
    """In 0..classes-1."""
    control_labels: Integer[np.ndarray, "r n"] | None
    """The control task's labels of each split."""
    groups: Integer[np.ndarray, " n"]
    """Examples of one question, or one set of pairs, share a group."""
    train: Bool[np.ndarray, "r n"]
    """Who trained."""
    classes: int
    seeds: tuple[int, ...]
    """Of the splits, R of them."""
    solver: str
    strength: Float[np.ndarray, "r s"] | None = None
    """L2 strength chosen by cross-validation (1/C of scikit-learn); None for adam."""
    capacity: Int16[np.ndarray, "r s n"] | None = None
    """Classes by probes trained on `capacity_labels`, -1 in their training; None where they make no sense."""
    capacity_labels: Integer[np.ndarray, " n"] | None = None
    """A class for each group, drawn once: see `identity_labels`."""
    guess: float | None = None
    """Accuracy of guessing, where the number of classes differs from example to example; None: 1 / classes."""
    by: Integer[np.ndarray, " n"] | None = None
    """What accuracy is told apart by, where that is not the label: the gold's place, from 0."""

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / self.classes if self.guess is None else self.guess
