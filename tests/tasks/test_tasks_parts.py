"""The parts the tasks are made of: files, places, fitting, spans, scoring, settings."""

import gzip
import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repflow.core import BadFile, BadSetting, Example, UnknownName
from repflow.tasks import (
    KvprTask,
    MdqaTask,
    TextTask,
    examples_sha256,
    kvpr_correct,
    make_task,
    mdqa_correct,
    normalise_answer,
)
from repflow.tasks.files import records
from repflow.tasks.fit import largest_fit
from repflow.tasks.pairs import PairStream
from repflow.tasks.places import arrange, arrivals, slot_order
from repflow.tasks.prompts import Prompt, Question
from repflow.tasks.tokens import token_span


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1}\n\n{"a": 2\n', "line 3: broken JSON"),
        (b'{"a": 1}\n{"a": "cut sho', "line 2: broken JSON"),
        (b"[1]\n", "line 1: needs a JSON object, found int"),
        (b"[" * 100_000, "line 1: broken JSON"),
        (b'{"a": 1}\n{"a": "\xff"}\n', "line 2: byte 0xff"),
        (b"\n \n", "holds no records"),
        (b"", "is empty"),
        (b"\x1f\x8bnot gzip", "line 1: the gzip data"),
    ],
)
def test_bad_json_lines_name_file_and_line(tmp_path, content, said):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=rf"a\.jsonl.* {said}"):
        list(records(path))


def test_gzip_data_cut_short_names_the_line_reached(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"a": %d}\n' % (i * 7919) for i in range(50_000)))
    path.write_bytes(whole[: len(whole) // 2])
    seen = []
    with pytest.raises(BadFile, match=r"a\.jsonl\.gz line \d+: the gzip data is broken or ends early"):
        seen.extend(number for number, _ in records(path))
    assert len(seen) > 1000


def test_file_named_gz_that_is_none(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b'{"a": 1}\n')
    with pytest.raises(BadFile, match="gzip"):
        list(records(path))


def test_numbers_of_lines_count_blank_ones(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": "\xe2\x80\xa8"}')
    assert list(records(path)) == [(1, {"a": 1}), (3, {"a": "\u2028"})]


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(0, 60))
def test_gold_is_near_its_place_and_moves_alone(positions, n):
    items = list(range(n))
    for place in range(positions):
        shown, at = arrange(items, -1, place, positions)
        assert shown[at] == -1
        assert sorted(shown) == [-1, *items]
        assert abs(at - n * place / (positions - 1)) <= (1 if positions <= 5 else 2)
        assert [i for i in shown if i >= 0] == [i for i in arrange(items, -1, 0, positions)[0] if i >= 0]


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(0, 40), st.integers(0, 40), st.data())
def test_smaller_arrangements_are_parts_of_larger_ones(positions, n, more, data):
    place = data.draw(st.integers(0, positions - 1))
    small, _ = arrange(list(range(n)), -1, place, positions)
    large, _ = arrange(list(range(n + more)), -1, place, positions)
    assert [i for i in large if i < n] == small


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(0, 40))
def test_all_arrivals_show_the_order_given(positions, n):
    shown, _ = arrange(arrivals(list(range(n)), positions), -1, positions - 1, positions)
    assert shown == [*range(n), -1]


@settings(deadline=None)
@given(st.integers(1, 40))
def test_slot_order_is_a_permutation(slots):
    assert sorted(slot_order(slots)) == list(range(slots))


@settings(deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=300), st.integers(0, 4000), st.integers(0, 400), st.data())
def test_largest_fit_agrees_with_counting_up(sizes, limit, guess, data):
    low = data.draw(st.integers(1, len(sizes)))
    total = [30, *itertools.accumulate(sizes, initial=30)][1:]
    right = max((k for k in range(low, len(sizes) + 1) if total[k] <= limit), default=low - 1)
    assert largest_fit(total.__getitem__, limit, low=low, high=len(sizes), guess=guess) == right


def test_largest_fit_asks_seldom_when_the_guess_is_near():
    asked = []

    def tokens(k):
        asked.append(k)
        return 100 + 70 * k

    assert largest_fit(tokens, 4096, low=4, high=1 << 20, guess=56) == 57
    assert len(asked) <= 3


@pytest.mark.parametrize("part", ["hello", "(x y)", "été", "end"])
def test_token_span_covers_the_part_and_little_more(tokenizer, part):
    text = "well hello there, (x y) un été chaud to the end"
    start = text.index(part)
    ids = tokenizer.encode(text)
    first, last = token_span(tokenizer, text, ids, (start, start + len(part)))
    found = tokenizer.decode(ids[first:last])
    assert part in found
    assert len(found.strip()) <= len(part) + 2


def test_token_span_distrusts_offsets_that_do_not_agree_with_the_text(fast):
    class Shifted:
        is_fast = True
        all_special_ids = fast.all_special_ids

        encode = staticmethod(fast.encode)
        decode = staticmethod(fast.decode)

        def __call__(self, text, **options):
            encoded = fast(text, **options)
            return {**encoded, "offset_mapping": [(0, 1)] * len(encoded["input_ids"])}

    text = "some words before and the gold words after them"
    start = text.index("gold")
    ids = fast.encode(text)
    span = token_span(Shifted(), text, ids, (start, start + 4))
    assert "gold" in fast.decode(ids[slice(*span)])
    assert len(fast.decode(ids[slice(*span)]).split()) <= 2


def answered(*answers):
    return Example(id=0, ids=(1,), answers=answers)


def test_kvpr_scoring_ignores_case_and_what_stands_around():
    example = answered("0d7Ba717-e034")
    assert kvpr_correct(' "0D7ba717-E034",\n and more', example)
    assert not kvpr_correct("0d7ba717e034", example)
    assert not kvpr_correct("", example)
    assert not kvpr_correct("anything", answered())


def test_mdqa_scoring_reads_the_first_line_normalised():
    example = answered("The Röntgen Society", "W. C. Röntgen")
    assert mdqa_correct(" It was röntgen society, of course.\nno", example)
    assert mdqa_correct("W C Röntgen", example)
    assert not mdqa_correct("nobody\nRöntgen Society", example)
    assert not mdqa_correct("", example)


def test_an_answer_of_which_nothing_is_left_must_be_a_word():
    assert mdqa_correct("vitamin A", answered("A"))
    assert not mdqa_correct("vitamin C, an acid", answered("A"))
    assert not mdqa_correct("anything", answered(" "))


@pytest.mark.parametrize(
    ("text", "normal"),
    [("The  Cat's an. Answer!", "cats answer"), ("theatre\tand Anthem", "theatre and anthem"), ("a the an", "")],
)
def test_normalise_answer(text, normal):
    assert normalise_answer(text) == normal


def test_make_task_passes_the_settings_on():
    assert make_task("text", text=("a",), pack=False, column="c") == TextTask(("a",), False, "c")
    assert make_task("kvpr", keys="hex8", positions=3, crossed=True) == KvprTask(None, "hex8", 3, None, True)
    assert make_task("mdqa", data="d", gold=1) == MdqaTask("d", 5, 1, False)
    assert [make_task(name).name for name in ("text", "kvpr", "mdqa")] == ["text", "kvpr", "mdqa"]


def test_unknown_task_offers_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown task 'kvrp'; did you mean kvpr\? known: kvpr, mdqa, text"):
        make_task("kvrp")


@pytest.mark.parametrize(
    ("name", "given_too", "said"),
    [
        ("text", {"data": "f"}, "takes no data: name the files with --text"),
        ("text", {"gold": 0}, "text has no gold"),
        ("text", {"crossed": True}, "text has no gold"),
        ("text", {"keys": "uuid"}, "takes no keys"),
        ("kvpr", {"text": ("f",)}, "takes no text: name the file with --data"),
        ("mdqa", {"pack": False}, "takes no pack and column"),
        ("mdqa", {"keys": "uuid"}, "takes no keys"),
    ],
)
def test_settings_that_do_nothing_for_a_task_are_refused(name, given_too, said):
    with pytest.raises(BadSetting, match=said):
        make_task(name, **given_too)


def test_examples_of_a_group_fit_at_every_place(words):
    question = Question(lambda items, place: Prompt("w " * (10 * items + place), (0, 1), 0, items), 50, ("a",))
    assert question.fit(words, 105, (0,), least=2, guess=2) == 10
    assert question.fit(words, 105, (0, 3, 6), least=2, guess=2) == 9
    assert question.fit(words, 24, (0, 3, 6), least=2, guess=2) < 2


@pytest.mark.parametrize("style", ["uuid", "hex8", "hex4"])
def test_generated_keys_and_values_are_all_different(style):
    pairs = PairStream("any", style).first(3000)
    assert len({text for pair in pairs for text in pair}) == 6000
    assert PairStream("any", style).first(10) == pairs[:10]


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1},
        {"ids": (1, 3)},
        {"group": 1},
        {"gold_position": 1},
        {"n_positions": 3},
        {"gold_span": (0, 1)},
        {"gold_class": 1},
        {"answers": ("b",)},
    ],
)
def test_digest_depends_on_all_that_matters(change):
    example = Example(0, (1, 2), "p", 0, 0, 2, (0, 2), ("a",), 0)
    assert examples_sha256([example]) != examples_sha256([replace(example, **change)])
