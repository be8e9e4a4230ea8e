"""Which examples train a probe, and the labels of its control task. Everything is decided by group."""

import numpy as np
from jaxtyping import Bool, Integer

from repflow.studies.probe.linear.draws import APART, BLOCK, FOLD, IDENTITY, SPLIT, WITHIN, draws, shuffled

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
    pipeline leaks. It is not a measure of a probe's capacity to memorise: that is `identity_labels`.
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


def identity_labels(groups: Integer[np.ndarray, " n"], classes: int, seed: int) -> Integer[np.ndarray, " n"]:
    """Labels of the capacity control: a fixed random function of the group, that is of the gold key or the question.

    Nothing but remembering the key gives them, so a probe's accuracy on them, trained on some examples of every group
    and tested on the others (`apart_mask`), says how much it can memorise. Classes are as even as the groups allow.
    Source: the control task of Hewitt & Liang 2019 (arXiv:1909.03368), whose word types are the keys here.
    """
    unique, place = np.unique(groups, return_inverse=True)
    drawn = np.empty(len(unique), dtype=np.int64)
    drawn[shuffled(IDENTITY, seed, unique)] = np.arange(len(unique)) % classes
    return drawn[place]


def apart_mask(groups: Integer[np.ndarray, " n"], seed: int) -> Bool[np.ndarray, " n"]:
    """True for the examples that train where every group is to stand on both sides of a split.

    Of each group 20% of the examples, at least one, are held out, drawn by the seed; a group of one example trains.
    """
    order = np.argsort(groups, kind="stable")
    unique, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    is_train = np.ones(len(groups), dtype=bool)
    for group, start, size in zip(unique, starts, sizes, strict=True):
        if size > 1:
            drawn = np.argsort(draws(APART, seed, int(group), int(size)), kind="stable")
            is_train[order[start + drawn[: max(1, round(TEST_SHARE * size))]]] = False
    return is_train


def held_out(groups: Integer[np.ndarray, " n"], seeds: int, first_seed: int = 0) -> int:
    """How many groups some split tests: the units of the intervals."""
    tested = [groups[~train_mask(groups, seed)] for seed in range(first_seed, first_seed + seeds)]
    return len(np.unique(np.concatenate(tested)))
