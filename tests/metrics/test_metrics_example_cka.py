"""CKA over examples' last tokens, in blocks fixed by example id."""

import numpy as np
import pytest
import torch
import twins
from toolkit import QUICK, Trajectory, run, trajectory

from repflow.metrics.example_rows import Grams, example_cka
from repflow.metrics.session import merge

NAME = "example_cka"


def _expected(made: Trajectory, minimum: int = 4) -> np.ndarray:
    last = made.real.sum(1) - 1
    rows = [s[torch.arange(len(last)), last].double().numpy() for s in made.states]
    block = np.array(made.ids) // 64
    members = [np.flatnonzero(block == b) for b in np.unique(block)]
    members = [m for m in members if len(m) >= minimum]
    return np.array([[twins.cka([(x[m], y[m]) for m in members]) for y in rows] for x in rows])


def _value(state: Grams) -> tuple[torch.Tensor, int, int]:
    found = example_cka(state, QUICK.seed, QUICK.replicates)
    return found.value, found.blocks, found.left_out


@pytest.mark.parametrize("ids", [range(6), range(58, 70), [3, 64, 65, 0, 66, 1, 67, 2], range(62, 80)])
def test_it_is_the_ratio_of_hsics_summed_over_blocks_of_ids(ids: range | list[int]) -> None:
    n = len(ids)
    made = trajectory(n=n, t=6, d=10, lengths=[2 + i % 5 for i in range(n)], ids=list(ids))
    value, _, _ = _value(run(made, [NAME])[NAME])
    np.testing.assert_allclose(value[0].numpy(), _expected(made), rtol=0, atol=1e-5)


def test_small_blocks_are_left_out_and_blocks_are_counted() -> None:
    made = trajectory(n=11, t=2, ids=[*range(5), *range(64, 67), *range(130, 133)])
    value, blocks, left_out = _value(run(made, [NAME])[NAME])
    assert (blocks, left_out) == (1, 2)
    np.testing.assert_allclose(value[0].numpy(), _expected(made), rtol=0, atol=1e-5)


def test_fewer_than_four_examples_have_no_value() -> None:
    value, blocks, left_out = _value(run(trajectory(n=3), [NAME])[NAME])
    assert (blocks, left_out) == (0, 1)
    assert value.isnan().all()


MANY = trajectory(n=150, t=2, d=6, blocks=1)


@pytest.mark.parametrize("size", [1, 50, 64, 150])
def test_neither_batch_size_nor_order_matters_and_full_blocks_give_up_their_rows(size: int) -> None:
    order = torch.randperm(150, generator=torch.Generator().manual_seed(size)).tolist()
    splits = [order[i : i + size] for i in range(0, 150, size)]
    state = run(MANY, [NAME], splits=splits)[NAME]
    assert state.blocks.tolist() == [0, 1]
    assert state.ids.tolist() == list(range(128, 150))
    assert state.open.shape[0] == 22
    value, blocks, left_out = _value(state)
    assert (blocks, left_out) == (3, 0)
    np.testing.assert_allclose(value[0].numpy(), _expected(MANY), rtol=0, atol=1e-5)


def test_the_same_examples_merged_in_another_grouping_give_the_same_bytes() -> None:
    a, b, c = (run(MANY.take(rows), [NAME]) for rows in (range(40), range(40, 100), range(100, 150)))
    left, right = (_value(m[NAME])[0] for m in (merge(merge(a, b), c), merge(a, merge(b, c))))
    assert torch.equal(left, right)


def test_a_large_common_offset_costs_no_digits() -> None:
    made = trajectory(n=20, t=2, d=32, shared=0.0).mapped(lambda s: s + 100.0)
    value, _, _ = _value(run(made, [NAME])[NAME])
    np.testing.assert_allclose(value[0].numpy(), _expected(made), rtol=0, atol=1e-3)


@pytest.mark.parametrize("n", [5, 11, 23, 64])
def test_a_site_where_every_example_ends_alike_has_no_value(n: int) -> None:
    """As `embed` has it when all prompts end with the same token and no positions are added."""
    made = trajectory(n=n, t=2, d=64)
    ends = made.states[0].clone()
    ends[:, -1] = ends[0, -1]
    value, _, _ = _value(
        run(Trajectory(made.sites, (ends, *made.states[1:]), made.real, made.special, made.ids), [NAME])[NAME]
    )
    assert value[:, 0].isnan().all()
    assert value[0, 1:, 1:].isfinite().all()
