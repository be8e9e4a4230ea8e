"""The laws every metric obeys, whatever it measures. A new metric is in here as soon as it is in METRICS."""

import json
from functools import reduce

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toolkit import EVERYTHING, Trajectory, assert_same, fill_padding, outcome, run, trajectory

from repflow.metrics.registry import METRICS
from repflow.metrics.session import Counts, merge
from repflow.metrics.states import pack, unpack

N = 10
LENGTHS = (14, 9, 14, 5, 14, 3, 12, 2, 14, 7)
MADE = trajectory(n=N, lengths=LENGTHS, specials=1, ids=range(58, 58 + N))
"""Mixed lengths, special tokens, and ids on both sides of the border between two blocks of example_cka."""

WHOLE = run(MADE)
PARTS = [run(MADE.take([i])) for i in range(N)]
EMPTY = run(MADE.take([]))

partitions = st.permutations(range(N)).flatmap(
    lambda order: st.lists(st.integers(1, N - 1), max_size=4).map(
        lambda cuts: [order[a:b] for a, b in zip([0, *sorted(set(cuts))], [*sorted(set(cuts)), N], strict=True)]
    )
)


@settings(max_examples=20, deadline=None)
@given(splits=partitions)
def test_any_split_into_batches_in_any_order_gives_the_same(splits: list[list[int]]) -> None:
    assert_same(run(MADE, splits=splits), WHOLE, rtol=1e-6, atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(splits=partitions)
def test_any_grouping_of_merges_gives_the_same(splits: list[list[int]]) -> None:
    grouped = reduce(merge, (reduce(merge, (PARTS[i] for i in rows)) for rows in splits))
    assert_same(grouped, reduce(merge, PARTS))


@pytest.mark.parametrize("name", [*METRICS, "counts"])
def test_merge_is_associative(name: str) -> None:
    a, b, c = (part[name] for part in PARTS[:3])
    for left, right in zip(outcome(a.merge(b).merge(c)), outcome(a.merge(b.merge(c))), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("name", [*METRICS, "counts"])
def test_the_batch_of_no_examples_is_the_identity(name: str) -> None:
    whole, empty = WHOLE[name], EMPTY[name]
    for merged in (whole.merge(empty), empty.merge(whole)):
        for left, right in zip(outcome(merged), outcome(whole), strict=True):
            torch.testing.assert_close(left, right, rtol=0.0, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("name", [*METRICS, "counts"])
def test_a_state_survives_storing_and_merges_afterwards(name: str) -> None:
    kind = Counts if name == "counts" else METRICS[name].state
    stopped = MADE.mapped(lambda s: s.clone().index_fill_(0, torch.tensor([4]), torch.nan))
    first, second = (run(stopped.take(rows), [n for n in METRICS if n == name])[name] for rows in ([0, 3, 4], [1, 2]))
    arrays, meta = pack(first)
    restored = unpack(kind, arrays, json.loads(json.dumps(meta)))
    assert restored.merge(second).__class__ is kind
    if name == "counts":
        assert restored.merge(second).stopped == first.merge(second).stopped == ((62, 0),)
    for left, right in zip(outcome(restored.merge(second)), outcome(first.merge(second)), strict=True):
        torch.testing.assert_close(left, right, rtol=0.0, atol=0.0, equal_nan=True)


def test_states_of_different_metrics_do_not_merge() -> None:
    with pytest.raises(AssertionError, match="norm"):
        merge(run(MADE, ["norm"]), run(MADE, ["path"]))


def test_the_models_own_tensors_are_not_touched() -> None:
    before = [s.clone() for s in MADE.states]
    run(MADE)
    assert all(torch.equal(a, b) for a, b in zip(before, MADE.states, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_states_are_measured_in_float32(dtype: torch.dtype) -> None:
    low = fill_padding(MADE, 0.0).mapped(lambda s: s.to(dtype))
    assert_same(run(low), run(low.mapped(torch.Tensor.float)))


@pytest.mark.parametrize("name", [n for n in METRICS if n != "token_grams"])
def test_one_example_is_enough_for_a_number_where_one_is_defined(name: str) -> None:
    alone = outcome(run(MADE.take([0]), [name])[name])[0]
    if name == "example_cka":
        assert alone.isnan().all(), "a block needs 4 examples"
    else:
        assert alone[..., 0].isfinite().any()


def test_examples_of_one_two_and_three_tokens_do_not_crash() -> None:
    made = trajectory(n=3, t=3, lengths=(1, 2, 3))
    for rows in ([0], [1], [2], [0, 1, 2]):
        states = run(made.take(rows))
        assert states["counts"].examples == len(rows)
    one = run(made.take([0]))
    for name in ("inter_token_cosine", "offset_cosine", "sequence_curvature", "token_cka"):
        assert outcome(one[name])[0].isnan().all(), name
    assert outcome(one["norm"])[0][..., 0].isfinite().all()
    assert one["token_cka"].skipped.tolist() == [1, 1, 1]


def _spoil(made: Trajectory, row: int, site: int, value: float) -> Trajectory:
    states = [s.clone() for s in made.states]
    states[site][row, 1, 3] = value
    return Trajectory(made.sites, tuple(states), made.real, made.special, made.ids)


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_an_example_with_a_non_finite_state_is_left_out_and_named(name: str, value: float) -> None:
    spoiled = run(_spoil(MADE, 4, 2, value), [name])
    others = [i for i in range(N) if i != 4]
    counts = spoiled.pop("counts")
    expected = run(MADE.take(others), [name])
    assert counts.stopped == ((62, 2),)
    assert counts.examples == N - 1
    assert torch.equal(counts.tokens, expected.pop("counts").tokens)
    assert_same(spoiled, expected, rtol=1e-6, atol=2e-6)


def test_an_example_spoiled_at_two_sites_is_named_once_with_the_first() -> None:
    made = _spoil(_spoil(MADE, 4, 3, torch.nan), 4, 1, torch.inf)
    assert run(_spoil(made, 0, 4, torch.nan))["counts"].stopped == ((58, 4), (62, 1))


def test_a_site_is_named_by_its_place_among_the_batchs_own_sites() -> None:
    made = _spoil(MADE, 4, 3, torch.nan)
    part = Trajectory(made.sites[2:], made.states[2:], made.real, made.special, made.ids)
    ((example_id, place),) = run(part, ["norm"])["counts"].stopped
    assert (example_id, part.sites[place]) == (62, made.sites[3])


def test_a_run_whose_examples_are_all_spoiled_has_no_values_and_no_examples() -> None:
    made = MADE.mapped(lambda s: torch.full_like(s, torch.nan))
    states = run(made)
    assert states["counts"].examples == 0
    assert len(states["counts"].stopped) == N
    for name in METRICS:
        value = outcome(states[name])[0]
        assert value.isnan().all() if name != "token_grams" else len(value) == 0
