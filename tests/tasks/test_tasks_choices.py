"""Keys and values of single tokens, of divided sets, and the answers a prompt has to choose among."""

import json

import pytest

from repflow.core import BadSetting, Example
from repflow.tasks import KvprTask, choices_of
from repflow.tasks.words import single_tokens


def pairs_of(example):
    body = example.prompt.split("JSON data:\n")[1].split("\n\nKey: ")[0]
    return json.loads(body, object_pairs_hook=list)


def test_pairs_are_single_tokens(fast):
    words = single_tokens(fast)
    assert len(words) > 500
    for example in KvprTask(keys="pairs", items=8).build(fast, n=6, context=400, seed=0):
        texts = [text for pair in pairs_of(example) for text in pair]
        assert len(set(texts)) == 16
        assert set(texts) <= set(words)
        inside = [fast.decode([number]) for number in example.ids]
        assert all(text in inside for text in texts)


@pytest.mark.parametrize("keys", ["pairs", "hex4", "uuid"])
def test_divided_keys_are_nobodys_values(fast, keys):
    built = KvprTask(keys=keys, items=4, divided=True).build(fast, n=40, context=900, seed=0)
    found = [{pair[side] for e in built for pair in pairs_of(e)} for side in (0, 1)]
    assert not found[0] & found[1]
    if keys != "pairs":
        assert {text[0] < "8" for text in found[0]} == {True}
        assert {text[0] < "8" for text in found[1]} == {False}


def test_what_is_not_divided_is_as_before(fast):
    (example,) = KvprTask(keys="uuid", items=4).build(fast, n=1, context=900, seed=0)
    assert "31569046-bbaf-4475-b717-d721fe958617" in example.prompt or len(pairs_of(example)) == 4


def test_too_many_pairs_for_the_vocabulary(fast, words):
    most = len(single_tokens(fast)) // 2
    with pytest.raises(BadSetting, match=f"make {most} pairs at most; lower --items"):
        KvprTask(keys="pairs", items=most + 1).build(fast, n=1, context=100_000, seed=0)
    with pytest.raises(BadSetting, match="0 words are one token of this tokenizer"):
        KvprTask(keys="pairs").build(words, n=1, context=400, seed=0)


@pytest.mark.parametrize("keys", ["pairs", "hex4", "uuid"])
@pytest.mark.parametrize("bos", [False, True])
def test_choices_begin_behind_the_same_prompt(fast, keys, bos):
    for example in KvprTask(keys=keys, items=5, bos=bos).build(fast, n=8, context=900, seed=1):
        found = choices_of(fast, example, bos=bos)
        assert found is not None
        values = [value for _, value in pairs_of(example)]
        assert example.choices == tuple(f' "{value}"' for value in values)
        assert values[example.gold_position] == example.answers[0]
        assert found.asked[: len(example.ids)] == example.ids
        assert len(found.tokens) == 5
        for choice, token in zip(example.choices, found.tokens, strict=True):
            whole = fast.encode(example.prompt + choice)
            assert tuple(whole[: len(found.asked)]) == found.asked
            assert whole[len(found.asked)] == token


def test_choices_of_words_that_stick_to_their_quotes(words):
    for example in KvprTask(keys="hex4", items=4).build(words, n=3, context=200, seed=0):
        found = choices_of(words, example)
        assert found is not None
        assert found.asked == example.ids
        assert len(set(found.tokens)) == 4


def test_no_choices(fast):
    assert choices_of(fast, Example(id=0, ids=(1,), prompt="a")) is None
    alike = Example(id=0, ids=(1,), prompt="a:", choices=(' "b"', ' "b"'), gold_position=0)
    assert choices_of(fast, alike) is None
