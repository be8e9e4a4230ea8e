"""Features with known answers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Planted:
    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: int

    def shuffled(self, seed: int) -> tuple["Planted", np.ndarray]:
        """The same examples in another order, and that order."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        return Planted(self.features[:, order], self.labels[order], self.groups[order], self.classes), order


def crossed(
    strengths: tuple[float, ...], *, groups: int = 60, classes: int = 4, width: int = 24, seed: int = 0
) -> Planted:
    """Every group holds every class once. Site s shows the class with strengths[s] beside unit noise; 0: not at all.

    Features differ in spread and offset, and share a component of their group.
    """
    rng = np.random.default_rng(seed)
    labels, group = np.tile(np.arange(classes), groups), np.repeat(np.arange(groups) * 7 + 3, classes)
    directions = np.linalg.qr(rng.normal(size=(width, width)))[0][:classes]
    noise = rng.normal(size=(len(strengths), groups * classes, width))
    noise += rng.normal(size=(len(strengths), groups, width)).repeat(classes, 1)
    states = noise + np.array(strengths)[:, None, None] * directions[labels]
    spread, offset = np.exp(rng.normal(size=width)), 5 * rng.normal(size=width)
    return Planted((spread * states + offset).astype(np.float32), labels, group, classes)


def accuracies(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[S] over all splits; predicted [R, S, N] is -1 in training; labels [N] or [R, N]."""
    tested = predicted >= 0
    right = predicted == np.broadcast_to(labels, (len(predicted), predicted.shape[-1]))[:, None]
    return (right & tested).sum((0, 2)) / tested.sum((0, 2))
