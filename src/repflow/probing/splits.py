"""Which examples train a probe, and the labels of its control task. Everything is decided by group."""

import numpy as np
from jaxtyping import Bool, Integer

from repflow.probing._draws import BLOCK, FOLD, SPLIT, WITHIN, draws, shuffled

TEST_SHARE = 0.2
FOLDS = 5


def train_mask(groups: Integer[np.ndarray, " n"], seed: int) -> Bool[np.ndarray, " n"]:
    """True for the examples that train: 80% of the groups, drawn by the seed; a group is never divided."""
    unique, place = np.unique(groups, return_inverse=True)
    order = shuffled(SPLIT, seed, unique)
    is_train = np.ones(len(unique), dtype=bool)
    is_train[order[: max(1, round(TEST_SHARE * len(unique)))]] = False
    return is_train[place]


def fold_numbers(
    groups: Integer[np.ndarray, " n"], train: Bool[np.ndarray, " n"], seed: int
) -> Integer[np.ndarray, " n"]:
    """Cross-validation fold 0..4 of each example inside the training split, by group; -1 outside it."""
    unique, place = np.unique(groups[train], return_inverse=True)
    fold = np.empty(len(unique), dtype=np.int64)
    fold[shuffled(FOLD, seed, unique)] = np.arange(len(unique)) % FOLDS
    numbers = np.full(len(groups), -1)
    numbers[train] = fold[place]
    return numbers


def control_labels(
    labels: Integer[np.ndarray, " n"], groups: Integer[np.ndarray, " n"], seed: int
) -> Integer[np.ndarray, " n"]:
    """Labels of the control task: the true ones, permuted so that they say nothing about the states.

    Groups of one size exchange their label sets, then each group's labels are permuted among its own examples. That
    keeps what the design fixes: how often each class occurs over all and, where every group holds each class once, in
    each group. What is lost is the tie between state and label. Where a group is a single example, the first step
    does the work; where every group holds every class, the second.

    With groups kept whole, a control task cannot be learnt: none of its examples comes back in the test set. Its
    accuracy is therefore the level of guessing as this very pipeline reaches it. It rises above chance where the
    pipeline leaks. It is not a measure of a probe's capacity to memorise, as in Hewitt & Liang 2019 (arXiv:1909.03368),
    whose word types occur in training and test alike.
    Examples are told apart by group and label: two of the same group and label may swap their control labels when the
    order of the input changes.
    """
    order = np.lexsort((labels, groups))
    unique, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    blocks = np.split(labels[order], starts[1:])
    drawn = np.empty_like(labels)
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        for target, source in zip(members, members[shuffled(BLOCK, seed, unique[members])], strict=True):
            within = np.argsort(draws(WITHIN, seed, int(unique[target]), int(size)), kind="stable")
            drawn[order[starts[target] : starts[target] + size]] = blocks[source][within]
    return drawn
