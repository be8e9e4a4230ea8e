import gzip
import json
import sys

import pytest

from repflow.core import BadFile, BadSetting, BadSpec, NotEnoughData
from repflow.tasks import TextTask, examples_sha256, longest
from repflow.tasks.files import shipped
from repflow.tasks.hub import DatasetName, parse
from repflow.tasks.sources import read_source


def put(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def sorted_ids(examples):
    return sorted(e.ids for e in examples)


def test_packed_pieces_are_the_tokens_of_each_file(tmp_path, tokenizer):
    texts = ["One two three four five. " * 9, "six seven eight\n\nnine ten. " * 7]
    files = tuple(put(tmp_path / f"{i}.txt", text) for i, text in enumerate(texts))
    encoded = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    pieces = [tuple(ids[i : i + 8]) for ids in encoded for i in range(0, len(ids) - 7, 8)]
    examples = TextTask(files).build(tokenizer, n=1000, context=8, seed=0)
    assert [e.id for e in examples] == [e.group for e in examples] == list(range(len(pieces)))
    assert sorted_ids(examples) == sorted(pieces)
    assert examples[0].prompt == tokenizer.decode(examples[0].ids)


def test_bom_is_dropped_and_line_ends_are_newlines(tmp_path, words):
    path = put(tmp_path / "a.txt", b"\xef\xbb\xbfone two\r\nthree four\r\n")
    assert read_source(path, "text").held.text == "one two\nthree four\n"
    assert TextTask((path,)).build(words, n=1, context=4, seed=0)[0].prompt == "one two three four"


def test_gzipped_text(tmp_path, words):
    path = put(tmp_path / "a.txt.gz", gzip.compress(b"one two three four"))
    assert TextTask((path,)).build(words, n=1, context=4, seed=0)[0].prompt == "one two three four"


def test_documents_are_the_parts_between_blank_lines(tmp_path, words):
    path = put(tmp_path / "a.txt", "a b c d\ne f\n\n\n  \ng h\n\ni j k l m n o p q\n")
    examples = TextTask((path,), pack=False).build(words, n=9, context=8, seed=0)
    assert {e.prompt for e in examples} == {"<s> a b c d e f", "<s> i j k l m n o"}
    assert [(e.id, e.group) for e in examples] == [(0, 0), (1, 1)]
    assert TextTask((path,), pack=False).build(words, n=1, context=8, seed=0) == examples[:1]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_rows_of_json_lines_are_documents(tmp_path, words, name):
    rows = [{"body": "a b c d\n\ne f"}, {"body": "g"}, {"body": "h i j k"}]
    text = "\n".join(map(json.dumps, rows)).encode()
    path = put(tmp_path / name, gzip.compress(text) if name.endswith("gz") else text)
    task = TextTask((path,), pack=False, column="body")
    assert {e.prompt for e in task.build(words, n=9, context=9, seed=0)} == {"<s> a b c d e f", "<s> h i j k"}
    packed = TextTask((path,), column="body").build(words, n=9, context=5, seed=0)
    assert {e.prompt for e in packed} == {"a b c d e", "f g h i j"}


def test_missing_column_is_named_with_what_there_is(tmp_path, words):
    path = put(tmp_path / "a.jsonl", '{"text": "x"}\n{"body": "y", "n": 1}\n')
    with pytest.raises(BadFile, match=r"a\.jsonl line 2: needs the fields text; found body, n"):
        TextTask((path,)).build(words, n=9, context=5, seed=0)


def test_column_of_numbers(tmp_path, words):
    path = put(tmp_path / "a.jsonl", '{"text": 3}\n')
    with pytest.raises(BadFile, match=r"line 1: field 'text' holds int"):
        TextTask((path,)).build(words, n=9, context=5, seed=0)


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\n \n", "only blanks"),
        (b"\xef\xbb\xbf", "only blanks"),
        (b"fine\nfine\nb\xffd\n", r"line 3: byte 0xff is not UTF-8"),
        (b"\xff\xfeo\x00n\x00e\x00", "UTF-16 text; save its text as UTF-8"),
        (b"fine\no\x00n\x00e\x00", "line 2: holds a NUL byte"),
        (b"\xed\xa0\xbd half", "line 1: byte 0xed is not UTF-8"),
        (b"cut short \xe2\x82", "line 1: byte 0xe2"),
    ],
)
def test_bad_text_names_the_file(tmp_path, words, content, said, pack):
    good = put(tmp_path / "good.txt", "a b c d")
    bad = put(tmp_path / "bad.txt", content)
    with pytest.raises(BadFile, match=rf"bad\.txt.* {said}"):
        TextTask((good, bad), pack=pack).build(words, n=9, context=4, seed=0)


def test_the_line_of_a_bad_byte_far_down_the_file(tmp_path, words):
    path = put(tmp_path / "a.txt", b"one line of text\n" * 20_000 + b"\xf0 bad\n")
    with pytest.raises(BadFile, match="line 20001: byte 0xf0"):
        TextTask((path,)).build(words, n=10**6, context=4, seed=0)


def test_folders_and_absent_files(tmp_path, words):
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "no.txt", "there is no file")):
        with pytest.raises(BadFile, match=said):
            TextTask((str(path),)).build(words, n=1, context=4, seed=0)


def test_an_absent_second_file_is_seen_before_any_work(tmp_path, words):
    good = put(tmp_path / "good.txt", "a b c d")
    with pytest.raises(BadFile, match="there is no file"):
        TextTask((good, str(tmp_path / "no.txt"))).build(words, n=1, context=4, seed=0)


def test_text_shorter_than_one_piece_names_both_numbers(tmp_path, words):
    path = put(tmp_path / "short.txt", "a b c d e")
    with pytest.raises(NotEnoughData, match=r"short\.txt: 5 tokens, fewer than one piece of 6"):
        TextTask((path,)).build(words, n=1, context=6, seed=0)
    with pytest.raises(NotEnoughData, match="no document of at least 4 tokens"):
        TextTask((put(tmp_path / "s.txt", "a b c\n\nd e f"),), pack=False).build(words, n=1, context=6, seed=0)


def test_context_of_too_few_tokens(words):
    with pytest.raises(BadSetting, match="context 3: needs at least 4 tokens"):
        TextTask().build(words, n=1, context=3, seed=0)


def test_describe(tmp_path):
    path = put(tmp_path / "a.txt", "hello")
    (facts,) = TextTask((path,)).describe()["text"]
    assert facts["file"] == "a.txt"
    assert facts["sha256"] == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert facts["characters"] == 5
    assert TextTask().describe()["text"][0]["file"] == "built in: prose.txt"


def test_prose_in_the_package_does_not_repeat_itself():
    paragraphs = shipped("prose.txt").read_text(encoding="utf-8").split("\n\n")
    assert len(paragraphs) > 40
    assert 150_000 < sum(map(len, paragraphs)) < 200_000
    fives = [tuple(w[i : i + 5]) for w in (p.split() for p in paragraphs) for i in range(len(w) - 4)]
    assert len(set(fives)) > 0.97 * len(fives)


def test_digest_and_longest(words):
    a = TextTask().build(words, n=3, context=8, seed=0)
    assert examples_sha256(a) != examples_sha256(a[:2])
    assert longest(a) == 8
    assert longest([]) == 0


@pytest.mark.parametrize(
    ("spec", "read"),
    [
        ("hf:imdb", DatasetName("imdb", None, "train")),
        ("hf:imdb:test", DatasetName("imdb", None, "test")),
        ("hf:a/b:raw-v1", DatasetName("a/b", "raw-v1", "train")),
        ("hf:a/b:raw-v1:validation", DatasetName("a/b", "raw-v1", "validation")),
        ("hf:a/b:train[:100]", DatasetName("a/b", None, "train[:100]")),
        ("hf:a/b::odd", DatasetName("a/b", None, "odd")),
    ],
)
def test_names_of_datasets(spec, read):
    assert parse(spec) == read


@pytest.mark.parametrize("spec", ["hf:", "hf::test", "hf:a[1]"])
def test_bad_names_of_datasets(spec, words):
    with pytest.raises(BadSpec, match="no dataset name"):
        TextTask((spec,)).build(words, n=1, context=4, seed=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    datasets = pytest.importorskip("datasets", reason="the extra hub (datasets) is not installed")
    folder = tmp_path_factory.mktemp("saved")
    rows = datasets.Dataset.from_dict({"body": ["a b c d e", "f", "g h i j"], "n": [1, 2, 3]})
    rows.save_to_disk(str(folder / "one"))
    datasets.DatasetDict({"train": rows, "test": rows.select([2])}).save_to_disk(str(folder / "two"))
    return folder


def test_saved_dataset(saved, words):
    task = TextTask((str(saved / "one"),), pack=False, column="body")
    assert {e.prompt for e in task.build(words, n=9, context=9, seed=0)} == {"<s> a b c d e", "<s> g h i j"}
    packed = TextTask((str(saved / "one"),), column="body").build(words, n=9, context=5, seed=0)
    assert {e.prompt for e in packed} == {"a b c d e", "f g h i j"}
    assert len(task.describe()["text"][0]["sha256"]) == 64


def test_split_of_a_saved_dataset(saved, words):
    task = TextTask((f"hf:{saved / 'two'}:test",), column="body")
    assert [e.prompt for e in task.build(words, n=9, context=4, seed=0)] == ["g h i j"]
    with pytest.raises(BadFile, match="no split 'dev'; splits found: train, test"):
        TextTask((f"hf:{saved / 'two'}:dev",), column="body").build(words, n=9, context=4, seed=0)


def test_columns_of_a_saved_dataset(saved, words):
    with pytest.raises(BadFile, match="no column 'text'; columns found: body, n"):
        TextTask((str(saved / "one"),)).build(words, n=1, context=4, seed=0)
    with pytest.raises(BadFile, match="row 1: column 'n' holds int"):
        TextTask((str(saved / "one"),), column="n").build(words, n=1, context=4, seed=0)


def test_dataset_that_cannot_be_loaded(saved, words):
    with pytest.raises(BadFile, match="cannot be loaded"):
        TextTask((f"hf:{saved / 'none'}",)).build(words, n=1, context=4, seed=0)


def test_without_the_extra_the_error_names_it(words, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadFile, match=r"pip install 'repflow\[hub\]'"):
        TextTask(("hf:imdb",)).build(words, n=1, context=4, seed=0)
