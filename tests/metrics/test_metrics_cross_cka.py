"""CKA between two models, and the null that says how much likeness chance gives."""

from math import ceil

import numpy as np
import pytest
import torch
import twins
from toolkit import Trajectory, run, trajectory

from repflow.core import NotEnoughData
from repflow.metrics.batch import Options
from repflow.metrics.cross_cka import CrossCka, cross_example_cka, cross_token_cka, derangements

ALL = Options(policies=("all",), replicates=8)


def _sequences(n: int, t: int, d: int, seed: int, memory: float = 0.9) -> Trajectory:
    """Tokens that follow each other slowly (AR(1)), one site that matters besides embed and the final norm."""
    made = trajectory(n=n, t=t, d=d, blocks=1)
    draw = torch.Generator().manual_seed(seed)
    sites = []
    for _ in made.sites:
        state = torch.randn(n, t, d, generator=draw)
        for i in range(1, t):
            state[:, i] = memory * state[:, i - 1] + (1 - memory**2) ** 0.5 * state[:, i]
        sites.append(state)
    return Trajectory(made.sites, tuple(sites), made.real, made.special, made.ids)


def _token(a: Trajectory, b: Trajectory, permutations: int = 19, seed: int = 0, policy: int = 0) -> CrossCka:
    banks = (run(m, ["token_grams"], ALL)["token_grams"] for m in (a, b))
    return cross_token_cka(*banks, policy, seed, 8, permutations)


def _example(a: Trajectory, b: Trajectory, permutations: int = 19, seed: int = 0) -> CrossCka:
    grams = (run(m, ["example_cka"], ALL)["example_cka"] for m in (a, b))
    return cross_example_cka(*grams, seed, 8, permutations)


def test_token_cka_between_models_is_the_ratio_of_summed_hsics() -> None:
    a, b = trajectory(n=5, t=9, d=12, seed=1), trajectory(n=5, t=9, d=20, blocks=2, seed=2)
    found = _token(a, b)
    expected = [
        [twins.cka([(x[i].double().numpy(), y[i].double().numpy()) for i in range(5)]) for y in b.states]
        for x in a.states
    ]
    assert found.n == 5
    np.testing.assert_allclose(found.value[0].numpy(), expected, rtol=0, atol=1e-5)


def test_example_cka_between_models_is_the_ratio_of_summed_hsics() -> None:
    ids = [*range(9), *range(64, 71), 128]
    a, b = (trajectory(n=17, t=3, d=d, seed=d, ids=ids) for d in (6, 11))
    found = _example(a, b)
    blocks = [slice(0, 9), slice(9, 16)]
    expected = [
        [twins.cka([(x[m, -1].double().numpy(), y[m, -1].double().numpy()) for m in blocks]) for y in b.states]
        for x in a.states
    ]
    assert found.n == 16, "the example that is alone in its block is in none"
    np.testing.assert_allclose(found.value[0].numpy(), expected, rtol=0, atol=1e-5)


def test_a_model_is_wholly_like_itself_also_after_calibration() -> None:
    made = trajectory(n=12, t=10, d=16)
    for found in (_token(made, made), _example(made, made)):
        assert found.threshold.diagonal().max() < 0.9
        one = torch.ones(len(made.sites), dtype=torch.float64)
        torch.testing.assert_close(found.value[0].diagonal(), one, rtol=0, atol=1e-6)
        torch.testing.assert_close(found.calibrated()[0].diagonal(), one, rtol=0, atol=1e-5)


def test_models_that_share_their_input_are_told_from_chance() -> None:
    made = trajectory(n=16, t=10, d=16)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(4))).Q
    noise = torch.Generator().manual_seed(5)
    other = made.mapped(lambda s: s @ turn + 0.7 * torch.randn(s.shape, generator=noise))
    for found in (_token(made, other, 39), _example(made, other, 39)):
        assert (found.value[0].diagonal() > found.threshold.diagonal()).all()
        assert (found.calibrated()[0].diagonal() > 0.3).all()


def test_the_threshold_is_the_order_statistic_of_observed_and_nulls() -> None:
    """With the nulls recomputed by permuting whole sequences of the other model, from its states."""
    a, b = _sequences(7, 8, 6, seed=1), _sequences(7, 8, 6, seed=2)
    found = _token(a, b, permutations=400)
    draw = np.random.default_rng(0)
    x, y = (m.states[1].double().numpy() for m in (a, b))
    own = np.sqrt(sum(twins.hsic1(r, r) for r in x) * sum(twins.hsic1(r, r) for r in y))
    cross = np.array([[twins.hsic1(r, s) for s in y] for r in x]) / own
    orders = [order for order in (draw.permutation(7) for _ in range(10_000)) if (order != np.arange(7)).all()]
    exact = [cross[np.arange(7), order].sum() for order in orders]
    near = [np.quantile(exact, q) for q in (0.9, 0.98)]
    assert near[0] <= float(found.threshold[1, 1]) <= near[1]
    assert ceil(0.95 * 401) == 381


@pytest.mark.parametrize("kind", ["token", "example"])
def test_the_null_rejects_one_in_twenty_of_independent_sequence_correlated_models(kind: str) -> None:
    """Tokens of a sequence are correlated; permuting tokens would reject nearly always."""
    trials, rejected = 200, 0
    for trial in range(trials):
        n, t = (6, 12) if kind == "token" else (12, 2)
        a, b = _sequences(n, t, 4, 2 * trial), _sequences(n, t, 4, 2 * trial + 1)
        found = (_token if kind == "token" else _example)(a, b, permutations=19, seed=trial)
        rejected += int(found.value[0, 1, 1] > found.threshold[1, 1])
    # Binomial(200, 0.05): 4..18 has probability 0.985.
    assert 4 <= rejected <= 18


@pytest.mark.parametrize("n", [2, 5, 10, 64])
def test_the_null_leaves_no_sequence_in_place(n: int) -> None:
    orders = derangements(3, n, 200)
    assert orders.shape == (200, n)
    assert (orders.sort(1).values == torch.arange(n)).all()
    assert (orders != torch.arange(n)).all()
    assert torch.equal(orders[:20], derangements(3, n, 20)) or n == 2


def test_derangements_are_equally_likely() -> None:
    """Of 4 there are 9; each comes about 100 times in 900 (four standard deviations: 38)."""
    found = derangements(0, 4, 900).unique(dim=0, return_counts=True)[1]
    assert len(found) == 9
    assert (found - 100).abs().max() < 38


@pytest.mark.parametrize("n", [5, 10])
def test_likeness_of_the_same_sequences_is_not_in_the_null(n: int) -> None:
    """A model beside itself: sequences left in place would bring about 1 / n of it into the null."""
    levels = []
    for seed in range(12):
        made = _sequences(n, 40, 6, seed, memory=0.0)
        levels.append(float(_token(made, made, 99, seed).threshold[1, 1]))
    apart = []
    for seed in range(12):
        a, b = _sequences(n, 40, 6, seed, memory=0.0), _sequences(n, 40, 6, 100 + seed, memory=0.0)
        apart.append(float(_token(a, b, 99, seed).threshold[1, 1]))
    assert np.mean(levels) == pytest.approx(np.mean(apart), abs=0.02)


@pytest.mark.parametrize("kind", ["token", "example"])
def test_four_sequences_allow_no_null(kind: str) -> None:
    a, b = trajectory(n=4, t=9, seed=1), trajectory(n=4, t=9, seed=2)
    assert (_token if kind == "token" else _example)(a, b, 99).threshold.isnan().all()


def test_the_null_permutes_whole_sequences_not_tokens() -> None:
    """A pattern in time that every sequence shares survives the null, so it is not mistaken for likeness."""
    made = trajectory(n=10, t=12, d=4, shared=0.0)
    draw = torch.Generator().manual_seed(1)
    pattern = 5 * torch.randn(12, 4, generator=draw)
    a, b = (made.mapped(lambda s: pattern + 0.1 * torch.randn(s.shape, generator=draw)) for _ in range(2))
    found = _token(a, b, 39)
    assert float(found.value[0].min()) > 0.95
    assert float(found.threshold.min()) > 0.95


def test_rows_count_if_they_count_in_both_models() -> None:
    options = Options(policies=("no_sink",), replicates=2)
    made = trajectory(n=4, t=12, d=32)
    loud = made.mapped(lambda s: torch.where(torch.arange(12)[:, None] == 5, 400 * s, s))
    banks = [run(m, ["token_grams"], options)["token_grams"] for m in (made, loud)]
    found = cross_token_cka(banks[0], banks[1], 0, 0, 2, 3)
    torch.testing.assert_close(found.value[0].diagonal(), torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-4)


def test_shards_of_a_run_give_the_same_as_one_pass() -> None:
    a, b = trajectory(n=9, t=7, seed=1), trajectory(n=9, t=7, seed=2)
    whole = _token(a, b)
    banks = (run(m, ["token_grams"], ALL, splits=[[8, 2, 5], [0, 1], [3, 4, 6, 7]])["token_grams"] for m in (a, b))
    split = cross_token_cka(*banks, 0, 0, 8, 19)
    torch.testing.assert_close(split.value, whole.value, rtol=0, atol=1e-6)
    torch.testing.assert_close(split.threshold, whole.threshold, rtol=0, atol=1e-6)


def test_replicates_are_shared_with_every_other_metric_of_the_same_examples() -> None:
    """Column r of any two results weighs the examples alike, so their difference is paired."""
    a, b = trajectory(n=9, t=7, seed=1), trajectory(n=9, t=7, seed=2)
    found = _token(a, a.mapped(torch.Tensor.clone)), run(a, ["token_cka"], ALL)["token_cka"].value()[0]
    torch.testing.assert_close(found[0].value, found[1], rtol=0, atol=1e-5)
    assert not torch.allclose(_token(a, b).value[1], _token(a, b).value[2])


def test_examples_are_paired_by_id_and_strangers_refused() -> None:
    a, b = trajectory(n=8), trajectory(n=8, ids=range(8, 16))
    for compare in (_token, _example):
        with pytest.raises(NotEnoughData, match="both"):
            compare(a, b)


def test_an_example_that_one_model_lacks_is_out_for_both() -> None:
    """As when it was left out of one for a state that is not finite."""
    whole, part = trajectory(n=8), trajectory(n=8).take(range(7))
    for compare in (_token, _example):
        assert compare(whole, part).n == compare(part, part).n
        values = compare(whole, part).value, compare(part, part).value
        # Grams are float32, about the mean of the rows that a model has.
        torch.testing.assert_close(*values, rtol=0, atol=1e-5, equal_nan=True)


def test_too_few_tokens_or_examples_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="4"):
        _token(trajectory(t=3), trajectory(t=3, seed=1))
    with pytest.raises(NotEnoughData, match="4"):
        _example(trajectory(n=3), trajectory(n=3, seed=1))


def test_short_examples_are_left_out_and_the_others_compared() -> None:
    lengths = [10, 10, 3, 10, 9, 10]
    a, b = (trajectory(n=6, t=10, seed=s, lengths=lengths) for s in (1, 2))
    found = _token(a, b)
    assert found.n == 5
    rows = [0, 1, 3, 4, 5]
    expected = twins.cka([(a.states[1][i, :9].double().numpy(), b.states[1][i, :9].double().numpy()) for i in rows])
    assert float(found.value[0, 1, 1]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("permutations", [0, 18])
def test_too_few_permutations_give_a_value_but_no_threshold(permutations: int) -> None:
    made = trajectory(n=6, t=8)
    for found in (_token(made, made, permutations), _example(made, made, permutations)):
        assert found.value[0].isfinite().all()
        assert found.threshold.isnan().all()
        assert found.calibrated().isnan().all()


def test_one_sequence_allows_no_null() -> None:
    made = trajectory(n=1, t=8)
    assert _token(made, made).threshold.isnan().all()


def test_what_positions_alone_explain_is_no_likeness_beyond_chance() -> None:
    """Two models share only that tokens near in position are near in state; more tokens than a bank keeps."""
    rejected: list[bool] = []
    for seed in range(20):
        states: list[Trajectory] = []
        for model in (2 * seed, 2 * seed + 1):
            made = _sequences(24, 150, 12, seed=1000 + model, memory=0.0)
            waves = torch.stack([torch.cos(torch.arange(150) * f / 40) for f in range(1, 5)], -1)
            mix = torch.randn(4, 12, generator=torch.Generator().manual_seed(model))
            states.append(made.mapped(lambda x, shared=3 * waves @ mix: x + shared))
        found = _token(*states)
        assert float(found.value[0, 1, 1]) > 0.2
        rejected.append(bool(found.value[0, 1, 1] > found.threshold[1, 1]))
    assert sum(rejected) <= 5
