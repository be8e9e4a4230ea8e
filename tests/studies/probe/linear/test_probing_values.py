"""The readout of values: what is planted is found, what is not there is not, and a plain twin says the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from repflow.studies.probe.linear import Predictions, Values, fit_values, summarise
from repflow.studies.probe.linear.ridge import STRENGTHS, ridge
from repflow.studies.probe.linear.values import control_values

GROUPS, PLACES, ITEMS, TOKENS, WIDTH = 80, 4, 6, 60, 32


def drawn(seed: int = 0) -> tuple[np.ndarray, Values, np.ndarray]:
    """Sites without and with the gold's embedding, turned and in noise; the values; the groups."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(TOKENS, 12)).astype(np.float32)
    sets = np.stack([rng.permutation(TOKENS)[:ITEMS] for _ in range(GROUPS)])
    choices, gold = [], []
    for values in sets:
        for place in range(PLACES):
            choices.append(np.insert(values[1:], place, values[0]))
            gold.append(place)
    choices, gold = np.array(choices), np.array(gold)
    n = len(gold)
    right = rows[choices[np.arange(n), gold]]
    noise = rng.normal(size=(2, n, WIDTH))
    noise[1] += 3 * right @ rng.normal(size=(12, WIDTH))
    values = Values(np.arange(TOKENS), rows, choices, gold, gold.copy())
    return noise.astype(np.float32), values, np.repeat(np.arange(GROUPS), PLACES)


@pytest.fixture(scope="module")
def found() -> Predictions:
    return fit_values(*drawn())


def test_the_value_is_found_where_it_is_planted_and_nowhere_else(found: Predictions) -> None:
    summary = summarise(found)
    assert summary.chance == pytest.approx(1 / ITEMS)
    assert summary.majority == pytest.approx(1 / PLACES), "the gold takes four of six places"
    assert summary.accuracy.value[1] > 0.95
    assert summary.accuracy.value[0] < 0.3
    assert summary.control is not None
    assert (summary.control.value < 0.3).all()
    assert summary.by_class.value.shape == (2, PLACES)


def test_labels_without_a_tie_to_the_states_score_chance() -> None:
    """The gold drawn anew for each set: nothing of another set tells which it is."""
    states, values, groups = drawn()
    shuffled = control_values(values, groups, 5)
    other = replace(values, gold=shuffled)
    summary = summarise(fit_values(states, other, groups))
    assert summary.accuracy.value[1] < 0.35, "1 of 6 sets keeps its gold"


def test_the_control_is_one_value_a_group() -> None:
    _, values, groups = drawn()
    token = values.choices[np.arange(len(groups)), control_values(values, groups, 0)]
    assert all(len(set(token[groups == g])) == 1 for g in range(GROUPS))
    gold = values.choices[np.arange(len(groups)), values.gold]
    assert 0.05 < (token == gold).mean() < 0.35


def test_a_leak_over_groups_is_not_used() -> None:
    """States that only tell the set: of sets seen the value is remembered, of others it is not."""
    _, values, groups = drawn()
    rng = np.random.default_rng(1)
    told = rng.normal(size=(GROUPS, 200)).astype(np.float32)[groups] + 0.05 * rng.normal(size=(len(groups), 200))
    told = told.astype(np.float32)[None]
    apart = summarise(fit_values(told, values, groups)).accuracy.value[0]
    ignored = summarise(fit_values(told, values, np.arange(len(groups)))).accuracy.value[0]
    assert apart < 0.3
    assert ignored > 0.9


def test_the_order_of_the_examples_changes_nothing(found: Predictions) -> None:
    states, values, groups = drawn()
    order = np.random.default_rng(2).permutation(len(groups))
    other = fit_values(states[:, order], values.of(order), groups[order])
    assert np.array_equal(other.predicted, found.predicted[:, :, order])
    assert other.control is not None
    assert found.control is not None
    assert np.array_equal(other.control, found.control[:, :, order])


def test_values_that_begin_alike_count_once() -> None:
    states, values, groups = drawn()
    choices = values.choices.copy()
    choices[:, -1] = -1
    found = fit_values(states, Values(values.tokens, values.rows, choices, values.gold, values.by), groups, seeds=1)
    assert found.chance == pytest.approx(1 / (ITEMS - 1))
    assert found.predicted.max() < ITEMS - 1


def test_a_plain_twin_names_the_same_values(found: Predictions) -> None:
    """Normal equations with an explicit intercept, distances one by one."""
    states, values, _ = drawn()
    assert found.strength is not None
    for split in range(2):
        train = found.train[split]
        x = states[1].astype(np.float64)
        x = (x - x[train].mean(0)) / x[train].std(0)
        x = np.concatenate([x, np.ones((len(x), 1))], 1)
        penalty = np.eye(WIDTH + 1) * found.strength[split, 1] * train.sum()
        penalty[-1, -1] = 0
        y = values.rows[values.choices[np.arange(len(x)), values.gold]].astype(np.float64)
        weights = np.linalg.solve(x[train].T @ x[train] + penalty, x[train].T @ y[train])
        for i in np.flatnonzero(~train):
            distances = np.linalg.norm(x[i] @ weights - values.rows[values.choices[i]], axis=1)
            assert found.predicted[split, 1, i] == distances.argmin()


@pytest.mark.parametrize("width", [10, 90])
def test_the_strength_is_that_of_folds_fitted_one_by_one(width: int) -> None:
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(80, width)))
    y = torch.from_numpy(np.stack([x.numpy()[:, :3] + rng.normal(size=(80, 3)), rng.normal(size=(80, 3))]))
    train = torch.arange(80) < 60
    folds = torch.where(train, torch.arange(80) % 5, -1)
    read, chosen = ridge(x, y, train, folds)
    for t in range(2):
        errors = []
        for strength in STRENGTHS:
            total = 0.0
            for fold in range(5):
                kept = train & (folds != fold)
                total += float(
                    (refit(x, y[t], kept, strength * 60, folds == fold) - y[t][folds == fold]).square().sum()
                )
            errors.append(total)
        assert chosen[t] == STRENGTHS[int(np.argmin(errors))]
        assert torch.allclose(read[t], refit(x, y[t], train, chosen[t] * 60, torch.ones(80, dtype=torch.bool)))


def refit(x, y, kept, penalty, wanted):
    """The intercept is free; the features are centred over what trains."""
    mean, middle = x[kept].mean(0), y[kept].mean(0)
    inner = x[kept] - mean
    weights = torch.linalg.solve(
        inner.T @ inner + penalty * torch.eye(x.shape[1]).double(), inner.T @ (y[kept] - middle)
    )
    return middle + (x[wanted] - mean) @ weights


def test_states_without_spread_score_as_a_guess() -> None:
    _, values, groups = drawn()
    found = summarise(fit_values(np.full((1, len(groups), 5), 7.0, np.float32), values, groups))
    assert found.accuracy.value[0] < 0.3
