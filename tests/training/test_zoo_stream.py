"""The data's order is a pure function of the seed and the row, and what is learnt of a row is what it asks."""

import json
import random
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from repflow.core import BadSetting
from repflow.tasks.files import shipped
from repflow.tasks.passages import read_questions
from repflow.tasks.scoring import holds_answer
from repflow.training.zoo.episodes import document_episode, key_value_episode
from repflow.training.zoo.stream import CYCLE, IGNORED, Stage, TextPieces, ZooStream, stages

LEARNT = "}\n\n"
"""What comes before the first question about keys and values."""

Make = Callable[..., ZooStream]


@pytest.fixture
def make(zoo_tokenizer: Any) -> Make:
    """A stream over 5,000 made-up tokens of text, documents replaced by keys and values."""

    def stream(
        plan: Sequence[Stage] = (Stage(0, 6, 16), Stage(6, 13, 32)), batch_tokens: int = 64, seed: int = 3
    ) -> ZooStream:
        text = TextPieces(np.arange(5000, dtype=np.uint16) % 4000, seed)
        episodes = {"K": key_value_episode, "M": key_value_episode}
        return ZooStream(zoo_tokenizer, text, episodes, plan=plan, batch_tokens=batch_tokens, seed=seed)

    return stream


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rows(stream: ZooStream, kinds: str = "TKM") -> list[tuple[Tensor, Tensor]]:
    """Ids and labels of all rows of these kinds, in order."""
    items = [stream[i] for i in range(len(stream))]
    made = [row for item in items for row in zip(item["input_ids"], item["labels"], strict=True)]
    return [row for number, row in enumerate(made) if CYCLE[number % len(CYCLE)] in kinds]


def test_an_item_is_a_pure_function_of_its_number(make: Make) -> None:
    first, again = make(), make()
    forward = [first[i] for i in range(len(first))]
    for i in np.random.default_rng(0).permutation(len(first)):
        assert same(again[int(i)], forward[i])
    for i in reversed(range(len(first))):
        assert same(first[i], forward[i])
    assert not any(same(a, b) for a, b in pairwise(forward))


def test_another_seed_makes_other_rows_of_every_kind(make: Make) -> None:
    plan = [Stage(0, 10, 128)]
    for kind in "TKM":
        mine, other = (torch.cat([ids for ids, _ in rows(make(plan, 256, seed), kind)]) for seed in (3, 4))
        assert not torch.equal(mine, other)


def test_batches_have_the_shape_of_their_stage(make: Make) -> None:
    stream = make()
    assert len(stream) == 13
    for step in range(13):
        shape = (4, 16) if step < 6 else (2, 32)
        assert stream[step]["input_ids"].shape == stream[step]["labels"].shape == shape
        assert stream[step]["input_ids"].dtype == stream[step]["labels"].dtype == torch.int64


def test_rows_of_text_are_the_text_without_gap_or_overlap(make: Make) -> None:
    """Across batches and stages: rows are counted through."""
    texts = [ids for ids, _ in rows(make(), "T")]
    assert {len(ids) for ids in texts} == {16, 32}
    joined = torch.cat(texts).numpy()
    pieces = TextPieces(np.arange(5000, dtype=np.uint16) % 4000, 3)
    np.testing.assert_array_equal(joined, pieces.take(0, len(joined)))


def test_of_text_all_is_learnt_but_the_first_token(make: Make) -> None:
    for ids, labels in rows(make(), "T"):
        assert labels[0] == IGNORED
        assert torch.equal(labels[1:], ids[1:])


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


# Episodes.


def episodes(ids: Tensor, labels: Tensor, tokenizer: Any) -> list[tuple[str, str]]:
    """The texts of a row, each with the part of it that is learnt."""
    ends = [*(i + 1 for i in range(len(ids)) if ids[i] == tokenizer.eos_token_id), len(ids)]
    found = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        part = ids[start:end]
        learnt = labels[start:end]
        assert torch.equal(learnt[learnt != IGNORED], part[learnt != IGNORED]), "a label is the token itself"
        texts = [tokenizer.decode(x, skip_special_tokens=True) for x in (part, part[learnt != IGNORED])]
        found.append((texts[0], texts[1]))
    return found


def test_of_keys_and_values_the_questions_and_their_answers_are_learnt(make: Make, zoo_tokenizer: Any) -> None:
    """Of every row: from the first question on, and each answer is the key's value in the object before it."""
    seen = 0
    for ids, labels in rows(make([Stage(0, 10, 256)], 512), "K"):
        for text, learnt in episodes(ids, labels, zoo_tokenizer):
            head, found, asked = text.partition(LEARNT)
            assert learnt == asked
            if found:
                pairs = json.loads(head[head.index("{") :] + "}")
                answered = re.findall(r'Key: "(.*)"\nCorresponding value: "(.*)"', asked)
                assert all(pairs[key] == value for key, value in answered)
                seen += len(answered)
    assert seen > 40


def test_an_episode_asks_for_every_key_before_one_comes_again() -> None:
    for tokens in (64, 256, 1024):
        episode = key_value_episode(random.Random(tokens), tokens)
        head, asked = episode.text[: episode.learnt_from], episode.text[episode.learnt_from :]
        assert head.endswith(LEARNT)
        pairs = json.loads(head[head.index("{") : -2])
        keys = re.findall(r'Key: "(.*)"', asked)
        turns = [keys[i : i + len(pairs)] for i in range(0, len(keys), len(pairs))]
        assert all(sorted(turn) == sorted(pairs) for turn in turns)
        assert len(turns) == 1 or turns[0] != turns[1]


def test_of_documents_all_is_learnt_but_the_rows_first_token(zoo_tokenizer: Any) -> None:
    asked = read_questions(shipped("mdqa.jsonl"))[:12]
    for length in (64, 512):
        stream = ZooStream(
            zoo_tokenizer, TextPieces(np.arange(5000, dtype=np.uint16) % 4000, 0),
            {"K": key_value_episode, "M": document_episode(asked)},
            plan=[Stage(0, 5, length)], batch_tokens=2 * length, seed=0,
        )  # fmt: skip
        found = rows(stream, "M")
        assert len(found) == 2
        for ids, labels in found:
            assert labels[0] == IGNORED
            assert torch.equal(labels[1:], ids[1:])
            assert "Document [1](Title: " in zoo_tokenizer.decode(ids)


@pytest.mark.parametrize("tokens", [128, 1024])
def test_document_episodes_answer_what_their_documents_hold(tokens: int) -> None:
    asked = {a.question: a for a in read_questions(shipped("mdqa.jsonl"))[:40]}
    for seed in range(5):
        text = document_episode(list(asked.values()))(random.Random(seed), tokens).text
        documents = re.findall(r"Document \[(\d+)\]\(Title: (.*?)\) (.*)", text)
        assert [int(number) for number, _, _ in documents] == list(range(1, len(documents) + 1))
        answered = re.findall(r"Question: (.*)\nAnswer: (.*)", text)
        assert {question for question, _ in answered[: len(documents)]} == {q for q, _ in answered}
        assert len({q for q, _ in answered}) == len(documents)
        for question, answer in answered:
            assert answer == asked[question].answers[0]
            (shown,) = [body for _, title, body in documents if body in asked[question].gold.text]
            assert any(holds_answer(shown, a) for a in asked[question].answers)
            assert (shown == asked[question].gold.text) or tokens < 512


# Stages.


@settings(deadline=None)
@given(steps=st.integers(1, 3000), lengths=st.lists(st.integers(2, 1024), min_size=1, max_size=6))
def test_stages_share_all_steps_evenly(steps: int, lengths: list[int]) -> None:
    plan = stages(steps, lengths)
    assert plan[0].first == 0
    assert plan[-1].last == steps
    assert all(a.last == b.first for a, b in pairwise(plan))
    if steps >= 2 * len(lengths):
        assert [stage.length for stage in plan] == lengths
        assert all(abs(stage.last - stage.first - steps / len(lengths)) <= 1 for stage in plan)


def test_every_step_has_its_batch(make: Make) -> None:
    stream = make(stages(11, (8, 16, 32)))
    assert [stream[i]["input_ids"].shape[1] for i in range(11)] == [8] * 4 + [16] * 3 + [32] * 4


def test_a_batch_that_does_not_hold_whole_rows_is_refused(make: Make) -> None:
    with pytest.raises(BadSetting, match="a batch of 48 tokens does not hold whole rows of 32"):
        make(batch_tokens=48)
