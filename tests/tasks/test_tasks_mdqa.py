import gzip
import itertools
import json
import re

import pytest

from repflow.core import BadFile, BadSetting, NotEnoughData
from repflow.tasks import MdqaTask, examples_sha256, longest, normalise_answer
from repflow.tasks.files import records, shipped
from repflow.tasks.passages import read_questions

DOCUMENT = re.compile(r"^Document \[(\d+)\]\(Title: (.*?)\) (.*)$", re.M)


def documents_of(example):
    """(title, text) of each document, after a check of their numbers."""
    found = DOCUMENT.findall(example.prompt)
    assert [int(number) for number, _, _ in found] == list(range(1, len(found) + 1))
    return [(title, text) for _, title, text in found]


def question_of(example):
    return example.prompt.split("\n\nQuestion: ")[1].removesuffix("\nAnswer:")


def record(i, *, own=0, **changes):
    contexts = [{"title": f"T{i}", "text": f"the gold text number{i} with answer{i}.", "isgold": True}]
    contexts += [{"title": f"D{i}-{k}", "text": f"distractor {i} {k}", "isgold": False} for k in range(own)]
    return {"question": f"question {i}", "answers": [f"Answer{i}"], "ctxs": contexts} | changes


def write(path, *rows):
    text = "".join(json.dumps(r) + "\n" for r in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def test_prompt_has_the_gold_document_at_its_position(tokenizer):
    asked = read_questions(shipped("mdqa.jsonl"))
    examples = MdqaTask().build(tokenizer, n=7, context=800, seed=0)
    for example, question in zip(examples, asked, strict=False):
        shown = documents_of(example)
        assert len(shown) == example.n_positions
        assert shown[example.gold_position] == (question.gold.title, question.gold.text)
        assert question_of(example) == question.question
        assert example.prompt.endswith("\nAnswer:")


def test_gold_span_is_the_gold_document(tokenizer):
    for example in MdqaTask().build(tokenizer, n=7, context=800, seed=0):
        found = tokenizer.decode(example.ids[slice(*example.gold_span)])
        title, text = documents_of(example)[example.gold_position]
        assert "".join(text.split()) in "".join(found.split())
        assert f"(Title: {title})" in found
        others = [d for i, d in enumerate(documents_of(example)) if i != example.gold_position]
        assert not any(f"(Title: {other})" in found for other, _ in others)


def test_no_distractor_holds_an_accepted_answer_and_none_comes_twice(tokenizer):
    for example in MdqaTask().build(tokenizer, n=5, context=1500, seed=2):
        shown = documents_of(example)
        assert len(set(shown)) == len(shown) > 4
        for i, (title, text) in enumerate(shown):
            held = normalise_answer(example.answers[0]) in normalise_answer(f"{title} {text}")
            assert held == (i == example.gold_position)


@pytest.mark.parametrize("crossed", [False, True])
def test_context_is_kept_and_one_more_document_would_not_fit(fast, crossed):
    task = MdqaTask(positions=3, crossed=crossed)
    pool = read_questions(task.path)
    examples = task.build(fast, n=6, context=900, seed=0)
    assert longest(examples) <= 900
    for group, members in itertools.groupby(examples, lambda e: e.group):
        question = task._question(pool, group, 0)
        assert max(question.tokens(fast, e.n_positions + 1, e.gold_class) for e in members) > 900


def test_a_smaller_prompt_is_the_larger_one_with_distractors_removed(tokenizer):
    task = MdqaTask()
    small, large = (task.build(tokenizer, n=5, context=c, seed=0) for c in (700, 2000))
    for a, b in zip(small, large, strict=True):
        assert question_of(a) == question_of(b)
        assert a.n_positions < b.n_positions
        kept = set(documents_of(a))
        assert [d for d in documents_of(b) if d in kept] == documents_of(a)


def test_crossed_moves_only_the_gold(fast):
    examples = MdqaTask(positions=4, crossed=True).build(fast, n=8, context=900, seed=0)
    assert [e.id for e in examples] == list(range(8))
    for members in (examples[:4], examples[4:]):
        assert len({e.group for e in members}) == 1
        assert [e.gold_class for e in members] == [0, 1, 2, 3]
        shown = [documents_of(e) for e in members]
        rest = [[d for i, d in enumerate(s) if i != e.gold_position] for s, e in zip(shown, members, strict=True)]
        assert all(r == rest[0] for r in rest)
        assert len({e.gold_position for e in members}) == 4


def test_first_examples_do_not_depend_on_how_many_and_the_data_ends(words):
    whole = MdqaTask().build(words, n=1000, context=400, seed=0)
    assert len(whole) == 120
    assert [e.id for e in whole] == list(range(120))
    assert MdqaTask().build(words, n=9, context=400, seed=0) == whole[:9]


def test_seed_decides_the_distractors_not_the_questions(words):
    first, again, other = (MdqaTask().build(words, n=3, context=400, seed=s) for s in (0, 0, 1))
    assert examples_sha256(first) == examples_sha256(again) != examples_sha256(other)
    assert [e.answers for e in first] == [e.answers for e in other]


@pytest.mark.parametrize("name", ["qa.jsonl", "qa.jsonl.gz"])
def test_distractors_of_a_file_keep_their_order(tmp_path, words, name):
    data = write(tmp_path / name, record(0, own=7), record(1, own=7))
    example = MdqaTask(data, gold=2).build(words, n=2, context=500, seed=0)[0]
    assert [title for title, _ in documents_of(example)] == [
        *(f"D0-{k}" for k in range(4)),
        "T0",
        *(f"D0-{k}" for k in range(4, 7)),
    ]


def test_oracle_file_takes_other_questions_passages_but_not_those_that_answer(tmp_path, words):
    also = record(3, ctxs=[{"title": "T9", "text": "Here too is the ANSWER0!", "isgold": True}])
    twin = record(4, ctxs=record(1)["ctxs"])
    same_page = record(5, ctxs=[{"title": "T0", "text": "more of the page", "isgold": True}])
    data = write(tmp_path / "qa.jsonl", record(0), record(1), record(2), also, twin, same_page)
    example = MdqaTask(data).build(words, n=1, context=500, seed=0)[0]
    assert sorted(title for title, _ in documents_of(example)) == ["T0", "T1", "T2"]


def test_own_distractors_that_have_the_answer_are_left_out(tmp_path, words):
    row = record(0, own=3)
    row["ctxs"][1]["hasanswer"] = True
    row["ctxs"][2]["text"] = "it was answer0"
    data = write(tmp_path / "qa.jsonl", row)
    example = MdqaTask(data).build(words, n=1, context=500, seed=0)[0]
    assert sorted(title for title, _ in documents_of(example)) == ["D0-2", "T0"]


def test_line_ends_in_a_passage_do_not_split_the_document(tmp_path, words):
    row = record(0, own=1)
    row["ctxs"][1]["text"] = "one\ntwo\r\nDocument [9](Title: x) three"
    data = write(tmp_path / "qa.jsonl", row)
    example = MdqaTask(data).build(words, n=1, context=500, seed=0)[0]
    assert len(documents_of(example)) == 2


def test_questions_too_long_for_the_context_are_passed_over(tmp_path, words):
    long = record(1, ctxs=[{"title": "T1", "text": "answer1 " + "word " * 200, "isgold": True}])
    data = write(tmp_path / "qa.jsonl", record(0, own=2), long, record(2, own=2), record(3, own=2))
    examples = MdqaTask(data).build(words, n=9, context=80, seed=0)
    assert [e.answers[0] for e in examples] == ["Answer0", "Answer2", "Answer3"]
    assert [e.id for e in examples] == [0, 1, 2]
    assert [e.gold_class for e in examples] == [0, 2, 3]


def test_too_small_a_context_names_both_numbers(fast):
    with pytest.raises(NotEnoughData, match=r"a context of 100 tokens .* the 2 documents .* take \d+ tokens or more"):
        MdqaTask().build(fast, n=1, context=100, seed=0)
    with pytest.raises(NotEnoughData, match="the 5 documents"):
        MdqaTask(crossed=True).build(fast, n=5, context=300, seed=0)


def test_file_of_one_question_has_no_distractors(tmp_path, words):
    data = write(tmp_path / "qa.jsonl", record(0))
    with pytest.raises(NotEnoughData, match=r"qa\.jsonl: no question has 2 documents"):
        MdqaTask(data).build(words, n=1, context=500, seed=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question": " "}, "question needs"),
        ({"answers": []}, "answers needs"),
        ({"answers": "x"}, "answers needs"),
        ({"ctxs": []}, "ctxs needs"),
        ({"ctxs": ["x"]}, "ctxs needs"),
        ({"ctxs": [{"title": "t", "text": ""}]}, "needs a text"),
        ({"ctxs": [{"title": 3, "text": "x"}]}, "needs a text"),
        ({"ctxs": [{"text": "x"}, {"text": "y"}]}, "isgold"),
    ],
)
def test_bad_records_name_file_and_line(tmp_path, words, changes, said):
    data = write(tmp_path / "qa.jsonl", record(0), record(1, **changes))
    with pytest.raises(BadFile, match=rf"qa\.jsonl line 2: .*{said}"):
        MdqaTask(data).build(words, n=1, context=500, seed=0)


def test_wrong_fields_are_named(tmp_path, words):
    data = write(tmp_path / "qa.jsonl", {"key": "k", "value": "v"})
    with pytest.raises(BadFile, match="needs the fields question, answers, ctxs; found key, value"):
        MdqaTask(data).build(words, n=1, context=500, seed=0)


def test_one_position_is_refused():
    with pytest.raises(BadSetting):
        MdqaTask(positions=1)


def test_corpus_in_the_package_has_each_answer_once():
    rows = [row for _, row in records(shipped("mdqa.jsonl"))]
    passages = [normalise_answer(f"{r['ctxs'][0]['title']} {r['ctxs'][0]['text']}") for r in rows]
    assert len(rows) == len({r["question"] for r in rows}) == len(set(passages)) == 120
    for i, row in enumerate(rows):
        assert [k for k, p in enumerate(passages) if normalise_answer(row["answers"][0]) in p] == [i]
        assert 40 <= len(row["ctxs"][0]["text"].split()) <= 90


@pytest.mark.parametrize("name", ["nq-open-oracle.jsonl.gz", "nq-open-oracle-doc.jsonl.gz"])
def test_published_questions(published, fast, name):
    task = MdqaTask(str(published / name))
    small, large = (task.build(fast, n=4, context=c, seed=0) for c in (1500, 3000))
    assert longest(large) <= 3000
    for a, b in zip(small, large, strict=True):
        assert a.answers == b.answers
        kept = set(documents_of(a))
        assert [d for d in documents_of(b) if d in kept] == documents_of(a)
        for i, (title, text) in enumerate(documents_of(b)):
            if i != b.gold_position:
                assert not any(normalise_answer(x) in normalise_answer(f"{title} {text}") for x in b.answers)


def test_describe(tmp_path):
    data = write(tmp_path / "qa.jsonl", record(0))
    assert MdqaTask(data).describe()["data"]["file"] == "qa.jsonl"
    assert MdqaTask().describe()["data"]["file"] == "built in: mdqa.jsonl"
    assert json.dumps(MdqaTask(data).describe())


def test_items_fixes_the_number_of_documents(words):
    examples = MdqaTask(items=3).build(words, n=5, context=2000, seed=0)
    assert {e.n_positions for e in examples} == {3}
    assert all(e.prompt.count("Document [") == 3 for e in examples)
    with pytest.raises(NotEnoughData, match="the 3 documents mdqa needs"):
        MdqaTask(items=3).build(words, n=1, context=30, seed=0)
