"""What a data folder gives to learn from, and what is kept out."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from zoo_kit import questions, write_jsonl

from repflow.core import BadFile, NotEnoughData
from repflow.training.zoo.corpus import Corpus, held_out_text, need_tokens, read_corpus, tokenizer_texts

BOOK = """The Project Gutenberg EBook of A Book, by Somebody

*** START OF THIS PROJECT GUTENBERG EBOOK A LONG
TITLE ***

A first line
and its second.

A second paragraph.

*** END OF THIS PROJECT GUTENBERG EBOOK A LONG TITLE ***

Updated editions will replace the previous one.
"""


def question(text: str, passage: str = "Paris is a city.", answer: str = "Paris") -> dict[str, Any]:
    return {"question": text, "answers": [answer], "ctxs": [{"title": "T", "text": passage, "isgold": True}]}


def corpus(folder: Path, *records: dict[str, Any]) -> Corpus:
    """Of a text and these questions."""
    (folder / "a.txt").write_text("Some text.")
    if records:
        write_jsonl(folder / "q.jsonl", records)
    return read_corpus(folder)


def all_questions(found: Corpus) -> list[str]:
    return [asked.question for asked in (*found.questions, *found.held_out)]


def test_gutenbergs_licence_and_hard_line_ends_are_taken_off(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(BOOK)
    assert read_corpus(tmp_path).texts == ("A first line and its second.\n\nA second paragraph.",)


def test_other_texts_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One line\nand another\n\nEND OF THE matter\n")
    assert read_corpus(tmp_path).texts == ("One line\nand another\n\nEND OF THE matter",)


def test_every_text_below_the_folder_but_wikitext_and_licences(tmp_path: Path) -> None:
    others = "LICENSE.upstream.txt Licence.txt README.txt b/NOTICE.txt notes.md c.text d/wikitext-2/e.txt"
    for name in ("b/c.txt", "a.txt", "wikitext-2/valid.txt", *others.split()):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    write_jsonl(tmp_path / "wikitext-2" / "q.jsonl", [question("kept out?")])
    found = read_corpus(tmp_path)
    assert found.files == ("a.txt", "b/c.txt")
    assert found.texts == ("text of a.txt", "text of b/c.txt")
    assert all_questions(found) == []
    assert held_out_text(tmp_path, "valid") == "text of wikitext-2/valid.txt"
    with pytest.raises(BadFile, match=r"test\.txt"):
        held_out_text(tmp_path, "test")


def test_of_a_question_met_twice_the_shorter_passage_is_taken(tmp_path: Path) -> None:
    long, short = question("where?", "Paris is a very large city."), question("where?", "Paris.")
    found = corpus(tmp_path, long, short, question("who?"), long)
    assert sorted(all_questions(found)) == ["where?", "who?"]
    (kept,) = [a for a in (*found.questions, *found.held_out) if a.question == "where?"]
    assert kept.gold.text == "Paris."


def test_the_shorter_passage_may_stand_in_another_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "long.jsonl", [question("where?", "Paris is a very large city.")])
    with gzip.open(tmp_path / "short.jsonl.gz", "wt") as file:
        file.write(json.dumps(question("where?", "Paris.")))
    found = corpus(tmp_path)
    assert found.files == ("a.txt", "long.jsonl", "short.jsonl.gz")
    assert [a.gold.text for a in (*found.questions, *found.held_out)] == ["Paris."]


def test_a_question_is_learnt_from_or_held_out_never_both(tmp_path: Path) -> None:
    found = corpus(tmp_path, *(question(f"number {i}?") for i in range(300)))
    learnt, kept = ({a.question for a in part} for part in (found.questions, found.held_out))
    assert not learnt & kept
    assert learnt | kept == {f"number {i}?" for i in range(300)}
    # One in ten, decided by the question alone: within four standard deviations.
    assert 10 <= len(kept) <= 50
    part = read_corpus_of(tmp_path / "part", [question(f"number {i}?") for i in range(150)])
    assert {a.question for a in part.held_out} == kept & {f"number {i}?" for i in range(150)}


def read_corpus_of(folder: Path, records: list[dict[str, Any]]) -> Corpus:
    folder.mkdir()
    return corpus(folder, *records)


def test_held_out_questions_do_not_shape_the_vocabulary(tmp_path: Path) -> None:
    found = corpus(tmp_path, *(question(f"number {i}?", f"Passage {i}.") for i in range(100)))
    text = "\n".join(tokenizer_texts(found))
    assert all(a.gold.text in text and a.question in text for a in found.questions)
    assert found.held_out
    assert not any(a.gold.text in text or a.question in text for a in found.held_out)
    assert "Some text." in text


def test_json_lines_of_other_fields_are_passed_over(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", [{"ordered_kv_records": [["a", "b"]], "key": "a", "value": "b"}])
    found = corpus(tmp_path, question("where?"))
    assert found.files == ("a.txt", "q.jsonl")
    assert all_questions(found) == ["where?"]


def test_another_text_or_question_is_another_corpus(tmp_path: Path) -> None:
    sha256 = [read_corpus_of(tmp_path / name, records).sha256 for name, records in
              (("a", [question("where?")]), ("b", [question("where?")]), ("c", [question("what?")]))]  # fmt: skip
    (tmp_path / "b" / "a.txt").write_text("Some other text.")
    assert sha256[0] == sha256[1] != sha256[2]
    assert read_corpus(tmp_path / "b").sha256 != sha256[0]


def test_the_questions_of_the_package_are_read(tmp_path: Path) -> None:
    records = questions(30)
    found = corpus(tmp_path, *records)
    assert sorted(all_questions(found)) == sorted(r["question"] for r in records)


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"there is no folder .*nowhere; --data needs"):
        read_corpus(tmp_path / "nowhere")
    write_jsonl(tmp_path / "q.jsonl", [question("where?")])
    with pytest.raises(BadFile, match=r"holds no \.txt file to train on"):
        read_corpus(tmp_path)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(BadFile, match=r"a\.txt is empty"):
        read_corpus(tmp_path)


def test_a_broken_question_file_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"q\.jsonl line 2: answers needs"):
        corpus(tmp_path, question("where?"), question("who?") | {"answers": []})


def test_less_than_a_batch_is_refused_with_both_numbers() -> None:
    need_tokens(64, 64)
    with pytest.raises(NotEnoughData, match="the texts hold 63 tokens, one batch takes 64"):
        need_tokens(63, 64)
