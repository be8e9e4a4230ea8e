"""Predictions made up, as if by probes: no training, so that hundreds of cases take seconds."""

import numpy as np

from repflow.studies.probe.linear import Predictions, train_mask


def predictions(
    predicted: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, train: np.ndarray | None = None
) -> Predictions:
    """Of predicted [S, N], the same in every split, or [R, S, N]; without `train` [R, N] all examples are tested."""
    predicted = predicted if predicted.ndim == 3 else predicted[None]
    train = np.zeros((len(predicted), len(labels)), dtype=bool) if train is None else train
    kept = np.where(train[:, None], -1, np.broadcast_to(predicted, (len(train), *predicted.shape[1:])))
    seeds = tuple(range(len(train)))
    return Predictions(kept.astype(np.int16), None, labels, None, groups, train, classes, seeds, "adam")


def crossed_groups(n_groups: int, classes: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of prompts whose gold stands once at every place."""
    return np.tile(np.arange(classes), n_groups), np.repeat(np.arange(n_groups) + first, classes)


def splits(groups: np.ndarray, seeds: int = 5) -> np.ndarray:
    return np.stack([train_mask(groups, seed) for seed in range(seeds)])


def guesses(
    trial: int, *, n_groups: int, classes: int, sites: int, alike: float, weights: list[float] | None = None
) -> np.ndarray:
    """Classes [R, S, N] that say nothing of the labels; those of sites and splits go together as in real probes."""
    rng = np.random.default_rng(trial)
    n = n_groups * classes

    def drawn(*shape: int) -> np.ndarray:
        return rng.choice(classes, size=shape, p=weights)

    of_site = np.where(rng.random((sites, n)) < alike, drawn(n), drawn(sites, n))
    return np.where(rng.random((5, sites, n)) < 0.6, of_site, drawn(5, sites, n))
