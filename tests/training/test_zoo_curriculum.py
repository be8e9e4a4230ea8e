"""The stages of a training: their steps, their tokens, their learning rate."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repflow.training.zoo.curriculum import (
    CURRICULUM,
    DECAY,
    DIVIDED,
    KINDS,
    LOWEST,
    WARM,
    rate,
    spans,
    tokens_until,
    with_lengths,
)
from repflow.training.zoo.recipes import POSITIONS

PLAN = spans(CURRICULUM, 2_700_000)


@settings(deadline=None)
@given(tokens=st.integers(1, 20_000_000))
def test_stages_follow_one_another_and_hold_about_the_tokens(tokens: int) -> None:
    plan = spans(CURRICULUM, tokens)
    assert plan[0].first == 0
    assert all(a.last == b.first for a, b in pairwise(plan))
    assert all(span.last > span.first for span in plan)
    most = sum(stage.batch_tokens for stage in CURRICULUM)
    assert abs(sum(span.tokens for span in plan) - tokens) <= most


def test_every_stage_has_its_share() -> None:
    whole = sum(stage.share for stage in CURRICULUM)
    assert [span.stage for span in PLAN] == list(CURRICULUM)
    for span in PLAN:
        assert span.tokens == pytest.approx(2_700_000 * span.stage.share / whole, abs=span.stage.batch_tokens)


def test_tokens_are_counted_through() -> None:
    assert tokens_until(PLAN, 0) == 0
    assert tokens_until(PLAN, PLAN[1].first + 3) == PLAN[0].tokens + 3 * PLAN[1].stage.batch_tokens
    assert tokens_until(PLAN, PLAN[-1].last) == sum(span.tokens for span in PLAN)


@pytest.mark.parametrize("stage", CURRICULUM, ids=lambda stage: stage.name)
def test_stages_hold_whole_rows_of_kinds_that_there_are(stage) -> None:
    assert stage.batch_tokens % stage.length == 0
    assert stage.length <= POSITIONS
    assert {kind.removesuffix(DIVIDED) for kind in stage.rows} <= KINDS.keys()
    assert 0 <= stage.text < 100


def test_with_lengths_the_rows_grow_in_equal_shares() -> None:
    plan = spans(with_lengths((16, 32, 64)), 64 * 1920 * 3)
    assert [span.stage.length for span in plan] == [16, 32, 64]
    assert len({span.tokens for span in plan}) == 1


def test_the_learning_rate_rises_holds_and_falls() -> None:
    last = PLAN[-1].last
    whole = tokens_until(PLAN, last)
    rates = [rate(PLAN, step) for step in range(last)]
    seen = [tokens_until(PLAN, step) / whole for step in range(last)]
    assert rates[0] == 0
    assert all(b > a for a, b, at in zip(rates, rates[1:], seen[1:], strict=False) if at < WARM)
    lower = next(span.first for span in PLAN if span.stage.rate < 1)
    held = [r for r, at in zip(rates[:lower], seen, strict=False) if at >= WARM]
    assert set(held) == {1.0}
    falling = [r for r, at in zip(rates, seen, strict=True) if at > 1 - DECAY]
    assert all(a > b for a, b in pairwise(falling))
    assert rates[-1] == pytest.approx(LOWEST * PLAN[-1].stage.rate, rel=0.01)
