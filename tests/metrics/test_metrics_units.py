"""Examples of one unit are resampled together, whatever the batch, and values know how many units they rest on."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from toolkit import QUICK, Trajectory, outcome, run, trajectory

from repflow.core import interval
from repflow.metrics.batch import Batch
from repflow.metrics.bootstrap import poisson_weights, units_behind
from repflow.metrics.cross_cka import cross_example_cka, cross_token_cka
from repflow.metrics.example_rows import example_cka
from repflow.metrics.headline import Course, Headline, middle, policy
from repflow.metrics.hsic import centred_hsic
from repflow.metrics.registry import METRICS, named
from repflow.metrics.session import Session, merge
from repflow.metrics.weighted_hsic import weighted_hsic, weighted_own_hsic

OPTIONS = replace(QUICK, replicates=40)
MADE = trajectory(n=8, t=9, d=10, ids=[3, 5, 6, 9, 11, 12, 20, 21])
UNITS = (7, 7, 2, 2, 2, 40, 40, 7)


def _with_units(made: Trajectory, units: tuple[int, ...], splits: list[list[int]]) -> dict[str, object]:
    found: dict[str, object] | None = None
    for rows in splits:
        part = made.take(rows)
        batch = Batch(part.ids, part.real, part.special, part.sites, OPTIONS, tuple(units[i] for i in rows))
        session = Session(named(list(METRICS)), batch)
        for site, states in zip(part.sites, part.states, strict=True):
            session.see(site, states)
        found = session.finish() if found is None else merge(found, session.finish())
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["inter_token_cosine", "norm", "path", "token_cka"])
@pytest.mark.parametrize("splits", [[[0, 1, 2, 3, 4, 5, 6, 7]], [[7], [0, 3, 5], [6, 1], [4, 2]]])
def test_replicates_weigh_units_whatever_the_batches(name: str, splits: list[list[int]]) -> None:
    """Against sums over the whole: each example once, times its unit's weight."""
    weights = poisson_weights(OPTIONS.seed, UNITS, OPTIONS.replicates)
    state = _with_units(MADE, UNITS, splits)[name]
    alone = [run(MADE.take([i]), [name], replace(OPTIONS, replicates=0))[name] for i in range(8)]
    if name == "token_cka":
        expected = sum(w[None, :, None, None] * one.total for w, one in zip(weights, alone, strict=True))
    else:
        expected = sum(w * one.total for w, one in zip(weights, alone, strict=True))
    torch.testing.assert_close(state.total, expected, rtol=1e-5, atol=1e-6)


def test_examples_without_units_are_units_of_their_own() -> None:
    own = _with_units(MADE, MADE.ids, [list(range(8))])
    for name in ("norm", "token_cka"):
        for left, right in zip(outcome(own[name]), outcome(run(MADE, [name], OPTIONS)[name]), strict=True):
            torch.testing.assert_close(left, right, equal_nan=True)


def test_units_behind_are_exact_where_all_or_single_examples_count() -> None:
    weights = poisson_weights(0, [1, 1, 2, 3, 3, 3], 100).numpy()
    whole, some = weights.sum(0), weights[:3].sum(0)
    assert units_behind(np.array(6), whole, 6, 3) == 3
    assert units_behind(np.array(3), some, 6, 6) == 3, "each example a unit"
    assert units_behind(np.array(0), 0 * whole, 6, 3) == 0


@pytest.mark.parametrize(("units", "each"), [(4, 8), (12, 3), (40, 2)])
def test_units_behind_part_of_the_examples_are_read_from_the_replicates(units: int, each: int) -> None:
    """A value that rests on a few units does not pass for one that rests on all."""
    of = np.repeat(np.arange(units), each)
    weight = poisson_weights(3, of.tolist(), 200).numpy().sum(0)
    found = units_behind(np.array([len(of)]), weight[None], 1000, 300)
    assert found[0] == pytest.approx(units, rel=0.25)
    assert found[0] <= len(of)


def _grams(n: int, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(3, n, 6, generator=torch.Generator().manual_seed(seed)).double()
    return (rows @ rows.mT).float()


def test_weighted_hsic_is_the_mean_over_quadruples_of_distinct_rows() -> None:
    grams = _grams(7)
    weights = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 1, 0, 1]], dtype=torch.float64).T
    found = weighted_hsic(grams, grams, weights)
    k, other = (g.double().numpy() for g in grams[:2])
    for column, w in enumerate(weights.T.numpy()):
        total = weight = 0.0
        for i, j, q, r in permutations(range(7), 4):
            times = w[i] * w[j] * w[q] * w[r]
            total += times * (k[i, j] * other[i, j] - 2 * k[i, j] * other[i, q] + k[i, j] * other[q, r])
            weight += times
        assert float(found[column, 0, 1]) == pytest.approx(total / weight, rel=1e-5)
    torch.testing.assert_close(found[0], centred_hsic(grams), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weighted_own_hsic(grams, weights), found.diagonal(dim1=-2, dim2=-1))


def test_weighted_hsic_needs_four_rows_that_weigh_something() -> None:
    weights = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], dtype=torch.float64).T
    found = weighted_hsic(_grams(5), _grams(5), weights)
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


def test_replicates_of_independent_rows_are_about_zero() -> None:
    """Resampled with copies, debiased HSIC would count the likeness of each row to its copies."""
    one, other = _grams(40, seed=1)[:1], _grams(40, seed=2)[:1]
    weights = poisson_weights(0, range(40), 400)
    own = weighted_own_hsic(one, weights)[0, 0] * weighted_own_hsic(other, weights)[0, 0]
    values = weighted_hsic(one, other, weights)[:, 0, 0] / own.sqrt()
    assert abs(float(values[1:].mean() - values[0])) < 0.02


def test_example_cka_of_one_block_has_an_interval_over_units() -> None:
    made = trajectory(n=24, t=3, d=12, seed=4)
    state = run(made, ["example_cka"], OPTIONS)["example_cka"]
    found = example_cka(state, 0, 200)
    assert (found.examples, found.units, found.blocks) == (24, 24, 1)
    low, high = interval(found.value[1:, 1, 2].numpy(), found.units)
    assert low < float(found.value[0, 1, 2]) < high
    paired = example_cka(state, 0, 200, {i: i // 2 for i in range(24)})
    assert paired.units == 12
    torch.testing.assert_close(paired.value[0], found.value[0])
    assert not torch.equal(paired.value[1:], found.value[1:])


def test_one_unit_for_every_block_is_the_ratio_of_weighted_sums_of_blocks() -> None:
    made = trajectory(n=140, t=2, d=6, blocks=1)
    state = run(made, ["example_cka"], OPTIONS)["example_cka"]
    found = example_cka(state, 0, 40, {i: i // 64 for i in range(140)})
    hsics = torch.stack([centred_hsic(gram) for _, gram in state.by_block().values()])
    total = torch.einsum("br,bst->rst", poisson_weights(0, range(3), 40), hsics)
    own = total.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(
        found.value, total / (own[:, :, None] * own[:, None]).sqrt(), rtol=0, atol=1e-4, equal_nan=True
    )


def test_cross_model_cka_weighs_units() -> None:
    a, b = trajectory(n=9, t=9, d=10, seed=1), trajectory(n=9, t=9, d=12, seed=2)
    units = {i: i // 3 for i in range(9)}
    banks = [run(m, ["token_grams"], OPTIONS)["token_grams"] for m in (a, b)]
    rows = [run(m, ["example_cka"], OPTIONS)["example_cka"] for m in (a, b)]
    for compare, sides in ((cross_token_cka, (*banks, 0)), (cross_example_cka, tuple(rows))):
        alone, together = compare(*sides, 0, 40, 0), compare(*sides, 0, 40, 0, units)
        assert (alone.n, together.n) == (9, 3)
        assert alone.examples == together.examples == 9
        torch.testing.assert_close(alone.value[0], together.value[0])
        assert not torch.allclose(alone.value[1:], together.value[1:], equal_nan=True)


def test_the_headline_of_an_example_is_its_inter_token_cosine_at_the_middle_block() -> None:
    found = run(MADE, ["headline"], OPTIONS)["headline"]
    assert found.ids.tolist() == list(MADE.ids)
    for row, value in enumerate(found.values):
        whole = run(MADE.take([row]), ["inter_token_cosine"], replace(OPTIONS, replicates=0))["inter_token_cosine"]
        assert float(value) == pytest.approx(float(whole.value()[middle(MADE.sites), 0, policy(OPTIONS.policies), 0]))


def test_the_headline_keeps_as_many_examples_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repflow.metrics.headline.EXAMPLES", 5)
    parts = [run(MADE.take([i]), ["headline"])["headline"] for i in (7, 0, 6, 3, 5, 1, 2, 4)]
    left, right = parts[0], parts[-1]
    for part in parts[1:]:
        left = left.merge(part)
    for part in reversed(parts[:-1]):
        right = part.merge(right)
    assert isinstance(left, Course)
    assert left.ids.tolist() == right.ids.tolist() == list(MADE.ids[:5])
    assert torch.equal(left.values, right.values)
    assert Headline().state is Course
