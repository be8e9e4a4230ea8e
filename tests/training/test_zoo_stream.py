"""The data's order is a pure function of the seed and the row, and what is learnt of a row is what it asks."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repflow.core import BadSetting, UnknownName
from repflow.tasks.files import shipped
from repflow.tasks.passages import read_questions
from repflow.training.zoo.curriculum import KINDS, Span, Stage
from repflow.training.zoo.episodes import document_episode
from repflow.training.zoo.stream import IGNORED, TextPieces, ZooStream

Make = Callable[..., ZooStream]
MIX = {"pairs": 1.0, "prompt4": 1.0, "documents": 1.0}


def stage(length: int, text: int = 40, rows: dict[str, float] = MIX, batch: int = 64) -> Stage:
    return Stage("A", 1, text, rows, 6, length, batch)


PLAN = (Span(0, 6, stage(16)), Span(6, 13, stage(32)))


@pytest.fixture
def make(zoo_tokenizer: Any) -> Make:
    """A stream over 5,000 made-up tokens of text and the first of the package's questions."""
    asked = read_questions(shipped("mdqa.jsonl"))[:12]

    def stream(plan: Sequence[Span] = PLAN, seed: int = 3) -> ZooStream:
        text = TextPieces(np.arange(5000, dtype=np.uint16) % 4000, seed)
        return ZooStream(zoo_tokenizer, text, document_episode(asked), plan=plan, seed=seed)

    return stream


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rows(stream: ZooStream, plan: Sequence[Span], kinds: Sequence[str]) -> list[tuple[Tensor, Tensor, bool]]:
    """Ids, labels and `asked` of all rows of these kinds, in order."""
    found = []
    for span in plan:
        for step in range(span.first, span.last):
            item = stream[step]
            found += [
                (item["input_ids"][i], item["labels"][i], bool(item["asked"][i]))
                for i in range(span.rows)
                if stream.kind(span, (step - span.first) * span.rows + i) in kinds
            ]
    return found


def test_an_item_is_a_pure_function_of_its_number(make: Make) -> None:
    first, again = make(), make()
    forward = [first[i] for i in range(len(first))]
    for i in np.random.default_rng(0).permutation(len(first)):
        assert same(again[int(i)], forward[i])
    for i in reversed(range(len(first))):
        assert same(first[i], forward[i])
    assert not any(same(a, b) for a, b in pairwise(forward))


@pytest.mark.parametrize("kind", ["text", *KINDS, "pairs/divided", "object/divided", "prompt/divided"])
def test_another_seed_makes_other_rows_of_every_kind(kind: str, make: Make) -> None:
    only = stage(128, 100, {}, 256) if kind == "text" else stage(128, 0, {kind: 1}, 256)
    plan = [Span(0, 12, only)]
    mine, other = (torch.cat([ids for ids, _, _ in rows(make(plan, seed), plan, [kind])]) for seed in (3, 4))
    assert mine.shape == other.shape == (3072,)
    assert not torch.equal(mine, other)


def test_a_row_does_not_depend_on_what_follows(make: Make) -> None:
    """Another number of steps later on changes nothing before."""
    longer = (PLAN[0], Span(6, 40, stage(32)))
    assert all(same(make()[i], make(longer)[i]) for i in range(13))


def test_batches_have_the_shape_of_their_stage(make: Make) -> None:
    stream = make()
    assert len(stream) == 13
    for step in range(13):
        shape = (4, 16) if step < 6 else (2, 32)
        item = stream[step]
        assert item["input_ids"].shape == item["labels"].shape == shape
        assert item["input_ids"].dtype == item["labels"].dtype == torch.int64
        assert item["asked"].shape == shape[:1]


def test_rows_of_text_are_the_text_without_gap_or_overlap(make: Make) -> None:
    """Across batches and stages: rows are counted through."""
    texts = [ids for ids, _, _ in rows(make(), PLAN, ["text"])]
    assert {len(ids) for ids in texts} == {16, 32}
    joined = torch.cat(texts).numpy()
    pieces = TextPieces(np.arange(5000, dtype=np.uint16) % 4000, 3)
    np.testing.assert_array_equal(joined, pieces.take(0, len(joined)))


@pytest.mark.parametrize("share", [0, 30, 50, 100])
def test_of_a_hundred_rows_so_many_are_text(share: int, make: Make) -> None:
    plan = [Span(0, 10, stage(16, share, batch=160))]
    assert len(rows(make(plan), plan, ["text"])) == share


def test_of_text_and_documents_all_is_learnt_but_the_rows_first_token(make: Make, zoo_tokenizer: Any) -> None:
    for length in (64, 512):
        plan = [Span(0, 4, stage(length, 30, {"documents": 1}, 4 * length))]
        for ids, labels, asked in rows(make(plan), plan, ["text", "documents"]):
            assert labels[0] == IGNORED
            assert torch.equal(labels[1:], ids[1:])
            assert not asked
        for ids, _, _ in rows(make(plan), plan, ["documents"]):
            assert "Document [1](Title: " in zoo_tokenizer.decode(ids)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "documents"])
def test_of_rows_that_ask_some_is_learnt_and_a_label_is_the_token_itself(kind: str, make: Make) -> None:
    plan = [Span(0, 4, stage(128, 0, {kind: 1}, 256))]
    for ids, labels, asked in rows(make(plan), plan, [kind]):
        learnt = labels != IGNORED
        assert asked
        assert 3 < int(learnt.sum()) < 64
        assert torch.equal(labels[learnt], ids[learnt])


def test_an_unknown_kind_is_refused(make: Make) -> None:
    with pytest.raises(UnknownName, match="did you mean prompt4"):
        make([Span(0, 1, stage(64, 0, {"promt4": 1}))])[0]


# Text in pieces.


def test_every_round_of_the_text_holds_each_piece_once_in_a_new_order() -> None:
    text = TextPieces(np.arange(5 * 1024 + 300, dtype=np.uint16), seed=1)
    found = text.take(0, 3 * 5 * 1024).reshape(3, 5, 1024)
    orders = [[int(piece[0]) // 1024 for piece in turn] for turn in found]
    assert all(sorted(order) == list(range(5)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    starts = np.asarray(orders)[..., None] * 1024
    np.testing.assert_array_equal(found, starts + np.arange(1024))


@settings(deadline=None)
@given(start=st.integers(0, 9000), length=st.integers(1, 3000))
def test_a_stretch_of_text_is_the_same_wherever_reading_began(start: int, length: int) -> None:
    ids = np.arange(3 * 1024, dtype=np.uint16)
    np.testing.assert_array_equal(TextPieces(ids, 2).take(start, length), LONG[start : start + length])


LONG = TextPieces(np.arange(3 * 1024, dtype=np.uint16), 2).take(0, 12_000)


def test_a_text_shorter_than_a_piece_goes_round() -> None:
    ids = np.arange(700, dtype=np.uint16)
    np.testing.assert_array_equal(TextPieces(ids, 0).take(600, 900), np.tile(ids, 3)[600:1500])


# Stages.


def test_a_batch_that_does_not_hold_whole_rows_is_refused(make: Make) -> None:
    with pytest.raises(BadSetting, match="a batch of 48 tokens does not hold whole rows of 32"):
        make([Span(0, 1, stage(32, batch=48))])
