"""Answers: scored as the tasks say, counted by group, set against the probes example for example."""

import numpy as np
import pytest
import torch

from repflow.core import Example
from repflow.models import load
from repflow.models.generation import cache_works, greedy
from repflow.probing import Predictions
from repflow.studies.probe_answers import answered, telling_rows
from repflow.studies.probe_reading import ENDED
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


def predictions(predicted: np.ndarray) -> Predictions:
    """Of two splits; who trained is -1."""
    return Predictions(
        predicted.astype(np.int16), None, LABELS, None, GROUPS, predicted[:, 0] < 0, CLASSES, (0, 1), "adam"
    )


def test_shares_by_class_are_plain_means_and_differences_are_paired() -> None:
    draw = np.random.default_rng(1)
    predicted = draw.integers(0, CLASSES, size=(2, 2, N))
    predicted[:, :, np.isin(GROUPS, draw.permutation(N // CLASSES)[:20])] = -1
    right = draw.random(N) < 0.4
    found = telling_rows(
        ("m", "kvpr", 300, "last"),
        [("block.0", "peak", 1), ("block.1", "last", 0)],
        predictions(predicted),
        right,
        0,
    )
    assert [(row.at, row.site, row.gold_class) for row in found] == [
        (at, site, c) for at, site in (("peak", "block.0"), ("last", "block.1")) for c in (None, 0, 1, 2)
    ]
    for row in found:
        said = predicted[:, 1 if row.at == "peak" else 0]
        mine = np.ones(N, bool) if row.gold_class is None else row.gold_class == LABELS
        hits = [
            int(p == label) for split in said for p, label, m in zip(split, LABELS, mine, strict=True) if m and p >= 0
        ]
        assert row.probe == pytest.approx(np.mean(hits))
        assert row.answered == pytest.approx(right[mine].mean())
        assert row.difference == pytest.approx(row.probe - row.answered)
        assert row.probe_low < row.probe < row.probe_high
        assert row.difference_low < row.difference < row.difference_high


def test_what_is_known_whenever_it_is_told_differs_by_nothing() -> None:
    """Groups of which all or nothing is right vary much; the difference does not, as it is paired."""
    good = GROUPS % 2 == 0
    predicted = np.broadcast_to(np.where(good, LABELS, (LABELS + 1) % CLASSES), (2, 2, N))
    found = telling_rows(("m", "kvpr", 300, "last"), [("block.0", "peak", 0)], predictions(predicted), good, 0)
    for row in found:
        assert row.probe == row.answered == 0.5
        assert row.probe_high - row.probe_low > 0.2
        assert row.difference_low == row.difference == row.difference_high == 0.0


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
