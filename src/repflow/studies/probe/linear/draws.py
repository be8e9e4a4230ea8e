"""Random numbers that depend on a seed, a key and a purpose alone: not on order, batch size or numpy's version."""

import numpy as np

SPLIT, FOLD, BLOCK, WITHIN, IDENTITY, APART, VALUE = 1, 2, 3, 4, 5, 6, 7
"""Purposes. 0 is left to the weights of the bootstrap, which draw from the same generator."""


def draws(purpose: int, seed: int, key: int, count: int) -> np.ndarray:
    """`count` raw 64-bit numbers of the counter-based Philox generator."""
    philox_key = np.array([seed, key], dtype=np.int64).view(np.uint64)
    return np.random.Philox(key=philox_key, counter=[0, 0, 0, purpose]).random_raw(count)


def shuffled(purpose: int, seed: int, keys: np.ndarray) -> np.ndarray:
    """The order that one draw for each key gives: a permutation of range(len(keys))."""
    return np.argsort([draws(purpose, seed, int(key), 1)[0] for key in keys], kind="stable")
