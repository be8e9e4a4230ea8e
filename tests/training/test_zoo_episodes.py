"""Rows and episodes that ask: what stands in them answers what is learnt."""

import json
import random
import re
from typing import Any

import pytest

from repflow.tasks.files import shipped
from repflow.tasks.kvpr import HEAD, KvprTask
from repflow.tasks.passages import read_questions
from repflow.tasks.scoring import holds_answer
from repflow.training.zoo.episodes import Episode, document_episode, echo_episode, object_episode, prompt_episode
from repflow.training.zoo.rows import PIECES, Alphabet, pairs, previous

SEEDS = range(6)


def learnt(episode: Episode) -> list[str]:
    return [episode.text[start:end] for start, end in episode.learnt]


@pytest.fixture
def alphabet(zoo_tokenizer: Any) -> Alphabet:
    return Alphabet.of(zoo_tokenizer)


def test_two_digits_are_a_token_wherever_keys_stand(alphabet: Alphabet, zoo_tokenizer: Any) -> None:
    assert zoo_tokenizer.convert_ids_to_tokens(list(alphabet.pieces)) == list(PIECES)
    for example in KvprTask(keys="hex4", items=16).build(zoo_tokenizer, n=4, context=1000, seed=5):
        ids = zoo_tokenizer(f'"{example.answers[0]}"', add_special_tokens=False)["input_ids"]
        assert len(ids) == 4
        assert set(ids[1:3]) <= set(alphabet.pieces)


def test_the_fillers_are_no_keys(alphabet: Alphabet, zoo_tokenizer: Any) -> None:
    assert not set(alphabet.fillers) & set(alphabet.pieces)
    assert zoo_tokenizer.decode(alphabet.behind) == '": "'


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gap", [0, 2])
def test_the_answer_of_a_pair_is_the_value_that_stood_with_its_key(alphabet: Alphabet, seed: int, gap: int) -> None:
    ids, asked = pairs(alphabet, random.Random(seed), 96, 8, divided=False, gap=gap)
    assert len(ids) == len(asked) == 96
    plain = [(i, token) for i, token in enumerate(ids) if token in alphabet.pieces]
    couples = list(zip(plain[::2], plain[1::2], strict=False))
    known: dict[int, int] = {}
    for (_, key), (at, value) in couples:
        assert asked[at] == (key in known)
        assert known.setdefault(key, value) == value
    assert 2 <= len(known) <= 8
    assert sum(asked) == len(couples) - len(known)


def test_divided_keys_and_values_are_from_two_halves(alphabet: Alphabet) -> None:
    for seed in SEEDS:
        ids, _ = pairs(alphabet, random.Random(seed), 64, 8, divided=True)
        assert set(ids[::2]) <= set(alphabet.pieces[:128])
        assert set(ids[1::2]) <= set(alphabet.pieces[128:])
        text = object_episode(random.Random(seed), 64, 5, divided=True).text
        found = re.findall(r'"(..)": "(..)"', text)
        assert all(key < "80" <= value for key, value in found)


@pytest.mark.parametrize("between", [(), (7, 9)])
def test_previous_asks_for_the_token_before_the_last(alphabet: Alphabet, between: tuple[int, ...]) -> None:
    ids, asked = previous(alphabet, random.Random(0), 50, between)
    places = [i for i, answer in enumerate(asked) if answer]
    assert len(places) == 50 // (3 + len(between))
    assert all(ids[i] == ids[i - 2 - len(between)] != ids[i - 1] for i in places)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_object_is_asked_in_its_own_lines(seed: int) -> None:
    episode = object_episode(random.Random(seed), 128, 5, divided=False)
    head, _, asking = episode.text.partition("\n\n")
    held = json.loads(head)
    found = re.findall(r'"(..)": "(..)"', asking)
    assert 2 <= len(held) <= 5
    assert all(held[key] == value for key, value in found)
    assert learnt(episode) == [value for _, value in found]


@pytest.mark.parametrize("style", ["one", "hex4"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_prompt_is_that_of_kvpr_and_its_answers_are_learnt(seed: int, style: str) -> None:
    episode = prompt_episode(random.Random(seed), 320, 16, divided=False, style=style)
    assert (HEAD + episode.text.partition("{")[2]).startswith(HEAD)
    head, _, asking = episode.text.partition("\n\nKey")
    held = json.loads(head[head.index("{") :])
    found = re.findall(r'Key: "(\w+)"\nCorresponding value: "(\w+)"', "Key" + asking)
    assert 2 <= len(held) <= 16
    assert all(held[key] == value for key, value in found)
    assert [part for part in learnt(episode) if part.strip(' "')] == [value for _, value in found]
    assert learnt(episode)[0] + learnt(episode)[1] + learnt(episode)[2] == f' "{found[0][1]}"'


def test_prompts_come_with_and_without_the_instruction() -> None:
    texts = [prompt_episode(random.Random(seed), 64, 4, divided=True, style="one").text for seed in range(20)]
    assert 4 < sum(text.startswith(HEAD) for text in texts) < 16


def test_an_echo_is_answered_by_the_key_itself() -> None:
    episode = echo_episode(random.Random(0), 100)
    found = re.findall(r'Key: "(\w+)"\nCorresponding value: "(\w+)"', episode.text)
    assert {len(key) for key, _ in found} == {2, 4}
    assert learnt(episode) == [key for key, _ in found] == [value for _, value in found]


@pytest.mark.parametrize("tokens", [128, 1024])
def test_document_episodes_answer_what_their_documents_hold(tokens: int) -> None:
    asked = {a.question: a for a in read_questions(shipped("mdqa.jsonl"))[:40]}
    for seed in range(5):
        episode = document_episode(list(asked.values()))(random.Random(seed), tokens)
        assert learnt(episode) == [episode.text]
        documents = re.findall(r"Document \[(\d+)\]\(Title: (.*?)\) (.*)", episode.text)
        assert [int(number) for number, _, _ in documents] == list(range(1, len(documents) + 1))
        answered = re.findall(r"Question: (.*)\nAnswer: (.*)", episode.text)
        assert {question for question, _ in answered[: len(documents)]} == {q for q, _ in answered}
        assert len({q for q, _ in answered}) == len(documents)
        for question, answer in answered:
            assert answer == asked[question].answers[0]
            (shown,) = [body for _, title, body in documents if body in asked[question].gold.text]
            assert any(holds_answer(shown, a) for a in asked[question].answers)
            assert (shown == asked[question].gold.text) or tokens < 512
