"""Token CKA within a model: against the three-term formula, and against what public packages get wrong."""

from collections.abc import Callable

import comparison
import numpy as np
import pytest
import torch
import twins
from comparison import CASES, case, examples
from toolkit import QUICK, Trajectory, estimates, plant_offset, plant_sink, run, trajectory

from repflow.metrics.batch import Batch, Options, sampled_rows
from repflow.metrics.profile import adjacent

TOKEN = ["token_cka"]
BOTH = ["token_cka", "token_cka_biased"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("metric", "hsic"), [("token_cka", twins.hsic1), ("token_cka_biased", twins.hsic0)])
def test_token_cka_is_the_ratio_of_summed_hsics(name: str, metric: str, hsic: Callable[..., float]) -> None:
    measured = estimates(run(case(name), [metric]), metric)
    for p, policy in enumerate(QUICK.policies):
        expected = comparison.cka_values(examples(case(name)), policy, hsic)
        np.testing.assert_allclose(measured[p].numpy(), expected, rtol=0, atol=1e-3)


def test_without_hard_numbers_token_cka_is_exact_to_a_millionth() -> None:
    expected = comparison.cka_values(examples(case("plain")), "no_sink")
    np.testing.assert_allclose(estimates(run(case("plain"), TOKEN), "token_cka")[2].numpy(), expected, atol=2e-6)


def test_bfloat16_states_give_cka_within_a_hundredth() -> None:
    low = comparison.clean(case("plain")).mapped(lambda s: s.to(torch.bfloat16))
    expected = comparison.cka_values(examples(case("plain")), "all")
    np.testing.assert_allclose(estimates(run(low, TOKEN), "token_cka")[0].numpy(), expected, atol=1e-2)


@pytest.mark.parametrize(("sink", "spread", "offset"), [(2_000, 2.0, 0.0), (22_000, 160.0, 0.0), (22_000, 8.0, 800.0)])
def test_a_dropped_sink_costs_the_other_tokens_no_digits(sink: float, spread: float, offset: float) -> None:
    made = plant_offset(trajectory(t=16, d=64, shared=0.0, size=spread / 8), offset)
    planted = estimates(run(plant_sink(made, sink), TOKEN), "token_cka")
    rest = [twins.Example([x[1:] for x in e.x], e.special[1:], e.is_final_norm) for e in examples(made)]
    np.testing.assert_allclose(planted[2].numpy(), comparison.cka_values(rest, "all"), rtol=0, atol=1e-3)


def test_a_site_is_wholly_like_itself_and_the_matrix_is_symmetric() -> None:
    for metric in BOTH:
        value = estimates(run(case("plain"), [metric]), metric)
        torch.testing.assert_close(value.diagonal(dim1=-2, dim2=-1), torch.ones_like(value[:, 0]), rtol=0, atol=1e-12)
        torch.testing.assert_close(value, value.mT, rtol=0, atol=1e-7)
        assert float(value.max()) <= 1 + 1e-6


def _independent(n: int, t: int, d: int, seed: int = 0) -> Trajectory:
    """States at embed, one block and the final norm that have nothing to do with each other."""
    made = trajectory(n=n, t=t, d=d, blocks=1, shared=0.0)
    draw = torch.Generator().manual_seed(seed)
    states = tuple(torch.randn(n, t, d, generator=draw) for _ in made.sites)
    return Trajectory(made.sites, states, made.real, made.special, made.ids)


def test_independent_data_reads_zero_and_would_read_near_one_if_biased() -> None:
    made = _independent(n=24, t=32, d=768)
    alone = [run(made.take([i]), BOTH) for i in range(24)]
    debiased = torch.stack([estimates(s, "token_cka")[0][[0, 0, 1], [1, 2, 2]] for s in alone]).flatten()
    error = float(debiased.std() / len(debiased) ** 0.5)
    assert abs(float(debiased.mean())) < 3 * error
    assert (debiased < 0).any(), "negative values are kept, not clipped"
    biased = torch.stack([estimates(s, "token_cka_biased")[0][0, 1] for s in alone])
    assert float(biased.min()) > 0.9


def test_the_run_value_is_not_the_mean_of_the_examples_ratios() -> None:
    made = case("plain")
    loud = Trajectory(
        made.sites, tuple(s * torch.arange(1, 7)[:, None, None] for s in made.states), made.real, made.special, made.ids
    )
    whole = estimates(run(loud, TOKEN), "token_cka")[0]
    ratios = torch.stack([estimates(run(loud.take([i]), TOKEN), "token_cka")[0] for i in range(6)]).mean(0)
    np.testing.assert_allclose(whole.numpy(), comparison.cka_values(examples(loud), "all"), atol=1e-5)
    assert float((whole - ratios).abs().max()) > 1e-3


def test_every_batch_counts_not_only_the_last() -> None:
    made = case("plain")
    other = _replaced(made, row=0)
    splits = [[0], [1, 2], [3, 4, 5]]
    before, after = (estimates(run(m, TOKEN, splits=splits), "token_cka") for m in (made, other))
    assert float((before - after).abs().max()) > 1e-3


def _replaced(made: Trajectory, row: int) -> Trajectory:
    states = [s.clone() for s in made.states]
    for i, s in enumerate(states):
        s[row] = 20 * torch.randn(s[row].shape, generator=torch.Generator().manual_seed(i))
    return Trajectory(made.sites, tuple(states), made.real, made.special, made.ids)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_batch_size_does_not_matter(size: int) -> None:
    splits = [list(range(i, min(i + size, 6))) for i in range(0, 6, size)]
    whole, split = (run(case("plain"), BOTH, splits=s) for s in (None, splits))
    for metric in BOTH:
        torch.testing.assert_close(split[metric].value(), whole[metric].value(), rtol=0, atol=1e-6)


def test_blocks_of_fewer_than_four_tokens_are_left_out_and_counted() -> None:
    made = trajectory(n=4, t=8, lengths=(8, 3, 4, 8), specials=1)
    state = run(made, TOKEN)["token_cka"]
    assert state.count.tolist() == [3, 2, 2]
    assert state.skipped.tolist() == [1, 2, 2]
    expected = comparison.cka_values(examples(made), "no_special")
    np.testing.assert_allclose(state.value()[1, 0].numpy(), expected, atol=1e-5)


def test_a_planted_sink_decides_biased_cka_of_all_tokens_but_not_of_no_sink() -> None:
    made = _independent(n=4, t=256, d=8, seed=3)
    name = "token_cka_biased"
    before, after = (estimates(run(m, [name]), name)[:, 0, 1] for m in (made, plant_sink(made, 500.0)))
    assert abs(float(before[0])) < 0.1
    assert float(after[0]) > 0.9
    assert abs(float(after[2] - before[0])) < 0.01


def test_a_planted_sink_makes_debiased_cka_of_all_tokens_noisy_but_not_of_no_sink() -> None:
    made = plant_sink(_independent(n=12, t=32, d=768, seed=3), 500.0)
    alone = torch.stack([estimates(run(made.take([i]), TOKEN), "token_cka")[:, 0, 1] for i in range(12)])
    assert float(alone[:, 0].std()) > 0.15
    assert float(alone[:, 2].std()) < 0.1


@pytest.mark.parametrize("t", [7, 16, 29])
def test_a_site_where_all_tokens_are_alike_has_no_cka(t: int) -> None:
    made = trajectory(t=t, d=64)
    flat = (made.states[0][:, :1].expand(-1, t, -1), *made.states[1:])
    value = estimates(run(Trajectory(made.sites, flat, made.real, made.special, made.ids), TOKEN), "token_cka")
    assert value[:, 0].isnan().all()
    assert value[:, 1:, 1:].isfinite().all()


def test_long_examples_use_a_sample_of_tokens_fixed_by_the_example_id() -> None:
    made = trajectory(n=2, t=40, blocks=2, lengths=(40, 30), ids=(7, 11))
    options = Options(policies=("all",), gram_rows=12, replicates=4)
    index, valid = made.batch(options).gram_index
    assert valid.all()
    assert index.shape == (2, 12)
    for row, real in zip(index, (40, 30), strict=True):
        assert sorted(set(row.tolist())) == row.tolist()
        assert int(row.max()) < real
    alone = made.take([1]).batch(Options(policies=("all",), gram_rows=12, seed=99)).gram_index[0]
    assert torch.equal(alone[0], index[1]), "neither the batch nor the seed matters"
    assert not np.array_equal(sampled_rows(7, 40, 12), sampled_rows(8, 40, 12))
    rows = [
        twins.Example([x[i] for x in e.x], e.special[i], e.is_final_norm)
        for e, i in zip(examples(made), index.numpy(), strict=True)
    ]
    measured = estimates(run(made, TOKEN, options), "token_cka")[0]
    np.testing.assert_allclose(measured.numpy(), comparison.cka_values(rows, "all"), atol=1e-5)


def test_the_sample_is_even_over_the_tokens() -> None:
    drawn = np.bincount(np.concatenate([sampled_rows(i, 40, 10) for i in range(400)]), minlength=40)
    assert abs(drawn - 100).max() < 5 * (400 * 0.25 * 0.75) ** 0.5


def test_padding_and_its_side_do_not_enter_the_sample() -> None:
    real = torch.tensor([[False, False, True, True, True]])
    index, valid = Batch((0,), real, torch.zeros_like(real), case("plain").sites).gram_index
    assert index[valid].tolist() == [2, 3, 4]


def test_adjacent_reads_each_site_against_the_one_before() -> None:
    pairs = torch.arange(32, dtype=torch.float64).reshape(2, 4, 4)
    assert adjacent(pairs).tolist() == [[1, 6, 11], [17, 22, 27]]
