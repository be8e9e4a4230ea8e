"""Answers: scored as the tasks say, counted by group, set against the probes example for example."""

import math

import numpy as np
import pytest
import torch

from repflow.core import Example, sites_for
from repflow.models import load
from repflow.models.generation import cache_works, greedy
from repflow.studies.kit.answering import ENDED
from repflow.studies.probe.answers import answered, telling_rows
from repflow.studies.probe.linear import Predictions, compare_with_answers, summarise_depth
from repflow.tasks import mdqa_correct


@pytest.mark.parametrize(("family", "works"), [("rwkv", False), ("mamba2", True)])
def test_a_cache_that_gives_other_answers_is_not_used(family: str, works: bool) -> None:
    torch.set_num_threads(1)
    subject = load(f"config:{family},layers=2,width=32@init=orthogonal:1")
    assert cache_works(subject) is works
    prompt = list(range(40, 60))
    ids = torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(5):
            logits = subject.model(input_ids=ids, use_cache=False).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], 1)
    expected = subject.tokenizer.decode(ids[0, 20:], skip_special_tokens=True)
    assert greedy(subject, [prompt], new_tokens=5, stop="no such text") == [expected]


def test_an_answer_ends_where_its_score_is_settled() -> None:
    pair = Example(id=0, ids=(1,), answers=("ab-12",))
    assert not ENDED["kvpr"]('\n "ab', pair)
    assert ENDED["kvpr"]('\n "AB-12', pair)
    question = Example(id=0, ids=(1,), answers=("Paris",))
    assert not ENDED["mdqa"](" Paris", question)
    assert ENDED["mdqa"]("\n", question)
    assert not mdqa_correct("\nParis", question), "only the first line counts, an empty one too"
    assert ENDED["mdqa"](" London\nParis", question)


N, CLASSES = 120, 3
LABELS = np.arange(N) % CLASSES
GROUPS = np.arange(N) // CLASSES
SITES = sites_for(2)
WHERE = ("m", "kvpr", 300, "last")


def predictions(*predicted: np.ndarray) -> Predictions:
    """Of one split that tests all, at the sites in order."""
    classes = np.stack(predicted)[None].astype(np.int16)
    return Predictions(classes, None, LABELS, None, GROUPS, np.zeros((1, N), bool), CLASSES, (0,), "adam")


def told(p: Predictions, right: np.ndarray):
    return telling_rows(WHERE, SITES, summarise_depth(p, SITES), p, right, 0)


def test_rows_at_the_peak_and_the_last_block() -> None:
    wrong = (LABELS + 1) % CLASSES
    half = np.where(GROUPS % 2 == 0, LABELS, wrong)
    right = np.random.default_rng(1).random(N) < 0.2
    p = predictions(wrong, LABELS, half, half)
    found = told(p, right)
    assert [(row.at, row.site, row.gold_class) for row in found] == [
        (at, site, c) for at, site in (("peak", "block.0"), ("last", "block.1")) for c in (None, 0, 1, 2)
    ]
    compared = compare_with_answers(p, right, range(3))
    for row in found:
        site, column = (1 if row.at == "peak" else 2), 0 if row.gold_class is None else 1 + row.gold_class
        mine = np.ones(N, bool) if row.gold_class is None else row.gold_class == LABELS
        assert row.answered == pytest.approx(right[mine].mean())
        assert row.probe_above == compared.above.value[site, column]
        assert row.difference == pytest.approx(row.probe_above - row.answered)
        low = compared.chosen_low if row.at == "peak" else compared.difference.ci_low
        assert row.difference_low == low[site, column]
        assert row.difference_low < row.difference < row.difference_high
    assert [row.probe_above for row in found[:4]] == [1.0] * 4


def test_without_a_peak_there_are_no_rows_of_one() -> None:
    guess = np.random.default_rng(0).integers(0, CLASSES, size=(4, N))
    found = told(predictions(*guess), np.zeros(N, bool))
    assert {row.at for row in found} == {"last"}
    assert all(row.difference_low < 0 for row in found)


def test_a_last_block_at_chance_beside_a_peak_is_not_ahead() -> None:
    none = np.zeros(N, int)
    found = told(predictions(none, LABELS, none, none), np.zeros(N, bool))
    last = [row for row in found if row.at == "last"]
    assert [row.probe for row in last] == [pytest.approx(1 / CLASSES), 1.0, 0.0, 0.0]
    assert [row.probe_above for row in last] == pytest.approx([0.0] * 4)
    assert all(row.difference_low < 0 < row.difference_high for row in last)
    assert all(row.difference_low > 0 for row in found if row.at == "peak")


@pytest.mark.parametrize(("right", "ends"), [(30, (0.884, 1.0)), (0, (0.0, 0.116)), (29, (0.82, 0.999))])
def test_answers_all_right_all_wrong_and_but_for_one(right: int, ends: tuple[float, float]) -> None:
    share, low, high = answered(np.arange(30) < right, np.arange(30), 0)
    assert share == pytest.approx(right / 30)
    assert (low, high) == pytest.approx(ends, abs=0.02)


def test_answers_of_few_questions_have_no_interval() -> None:
    share, low, high = answered(np.ones(20, bool), np.repeat(np.arange(4), 5), 0)
    assert share == 1.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_the_interval_of_a_share_covers_it() -> None:
    """Groups of three alike answers, so that intervals over examples would be too narrow."""
    draw = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        right = (draw.random(N // CLASSES) < 0.6).repeat(CLASSES)
        share, low, high = answered(right, GROUPS, seed)
        assert share == pytest.approx(right.mean())
        covered += low <= 0.6 <= high
    assert 0.90 <= covered / 200 <= 0.985
