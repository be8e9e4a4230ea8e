"""Files are read for what they hold, whatever they are called; what cannot be told is refused."""

import csv
import gzip
import io
import json
import time

import pytest

from repflow.core import BadFile, BadSetting
from repflow.tasks import KvprTask, MdqaTask, TextTask, examples_sha256
from repflow.tasks.files import lines, records
from repflow.tasks.formats import tell

ROWS = [{"text": f"row {i} says a few words, and then some", "n": i, "label": "ab"[i % 2]} for i in range(12)]
JSON_LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
SAYS_NAMES = r"columns found: text, n, label; name the one that holds the text with --column"


def put(path, content):
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def table(rows=ROWS, delimiter=",", **options):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\n", **options)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read(words, path, pack=False, column=None, n=99, context=12):
    return TextTask((path,), pack, column).build(words, n=n, context=context, seed=0)


@pytest.fixture
def expected(tmp_path, words):
    return examples_sha256(read(words, put(tmp_path / "expected.jsonl", JSON_LINES)))


NAMES = ["a.json", "a.txt", "a", "a.JSONL", "a.json.gz", "a.gz", "a.csv", "a.ndjson", "b.txt.gz"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("written", [JSON_LINES, "\n\n " + JSON_LINES, JSON_LINES.replace("\n", "\r\n")])
def test_json_lines_by_any_name_are_rows(tmp_path, words, expected, name, written):
    assert examples_sha256(read(words, put(tmp_path / name, written))) == expected


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.json.gz"])
def test_an_array_of_records_is_rows(tmp_path, words, expected, name, indent):
    assert examples_sha256(read(words, put(tmp_path / name, json.dumps(ROWS, indent=indent)))) == expected


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a", "a.txt", "a.csv.gz"])
def test_a_table_by_any_name_is_rows_when_the_column_is_named(tmp_path, words, expected, name, delimiter):
    path = put(tmp_path / name, table(delimiter=delimiter))
    assert examples_sha256(read(words, path, column="text")) == expected
    for column in (None, "body"):
        with pytest.raises(BadFile, match=SAYS_NAMES):
            read(words, path, column=column)


def test_a_parquet_file_is_rows(tmp_path, words, expected):
    pd = pytest.importorskip("pandas")
    path = tmp_path / "rows.txt"
    pd.DataFrame(ROWS).to_parquet(path)
    assert examples_sha256(read(words, str(path))) == expected
    with pytest.raises(BadFile, match=SAYS_NAMES):
        read(words, str(path), column="body")
    with pytest.raises(BadFile, match="row 1: column 'n' holds int, needs text"):
        read(words, str(path), column="n")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BadFile, match=r"rows\.txt: the parquet file is broken"):
        read(words, str(path))


def test_quoted_fields_hold_line_ends_quotes_and_delimiters(tmp_path, words):
    rows = [{"id": str(i), "body": f'a "b", c\n\nline {i} of it; d\te'} for i in range(5)]
    for delimiter in ",\t;":
        found = read(words, put(tmp_path / "a", table(rows, delimiter, quoting=csv.QUOTE_ALL)), column="body")
        assert {e.prompt for e in found} == {f'<s> a "b", c line {i} of it; d e' for i in range(5)}
        assert {e.unit for e in found} == set(range(5))


def test_a_table_of_one_column_is_known_by_its_name_or_by_the_column(tmp_path, words):
    content = "body\nfirst text of four words\nsecond text of four\n"
    for name in ("a.csv", "a.txt"):
        found = read(words, put(tmp_path / name, content), column="body")
        assert {e.prompt for e in found} == {"<s> first text of four words", "<s> second text of four"}
    with pytest.raises(BadFile, match="columns found: body; name the one"):
        read(words, str(tmp_path / "a.csv"))
    assert len(read(words, str(tmp_path / "a.txt"))) == 1


def test_a_table_whose_columns_have_odd_names(tmp_path, words):
    header = "What did you read, and why?,Q2: liked it?,3rd (%)\n"
    path = put(tmp_path / "a", header.replace("read, and", "read and") + "some words here,yes,5\n" * 12)
    with pytest.raises(BadFile, match="columns found: What did you read an"):
        read(words, path)


def test_a_table_with_spaces_behind_its_commas(tmp_path, words):
    content = "id, body\n" + "".join(f"{i}, text of row {i} here\n" for i in range(8))
    path = put(tmp_path / "a", content)
    with pytest.raises(BadFile, match="columns found: id, body"):
        read(words, path)
    assert len(read(words, path, column="body")) == 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,n\na b c d,1\ne f, g h,2\n", "line 3: 3 fields where the header has 2"),
        ("text,n\na b c d,1\ne f\nx y,1\n" + "z,1\n" * 20, "line 3: 1 fields where the header has 2"),
        ('text,n\n"a b c d,1\ne f g h,2\n', r"line 3: broken table \(unexpected end of data\)"),
    ],
)
def test_broken_tables_name_file_and_line(tmp_path, words, content, said):
    with pytest.raises(BadFile, match=rf"a\.csv {said}"):
        read(words, put(tmp_path / "a.csv", content), column="text")


PROSE = [
    "{Here the page is torn.} Nobody knew what had stood there, and nobody asked.",
    '{"Never," she wrote,} and crossed it out, and wrote it again below.',
    "[Illustration: a ferry] The boat came in at six, late, as always.",
    "[1] See the note below. It says little, and that badly.",
    '["What," he asked, "is that?"] A stage whisper, loud, from the left.',
    '"No," she said.\n"Yes," he said.\n"Well," they said.\n',
    "Flour, sugar, eggs\nButter, milk, salt\n",
    "Hello, world\nGoodbye, moon",
    "Tea, coffee, or both\nare served, hot, at nine\nand at four, cold, again\nin winter, or at noon\n",
    "One line; then another; and so on.\nA second one; as long; as this.\n",
    "| not | a table |\n|---|---|\n| but | markdown |\n",
    "import os,sys\nprint(os.name, sys.argv)\n\nfor x in 1, 2:\n    print(x)\n",
    "for (i=0;i<9;i++)\n  a(i);\n  b(i);\n",
    "1984\n\nIt was a bright cold day, and the clocks were at it again.",
    "key: value, other\n- item, one\n- item, two\n",
    "plain words, and plain words\n" * 100,
    "It sat, and slept.\n" + "Then it woke, and ate.\n" * 20,
    "Salt,pepper,thyme and more.\nOil,vinegar,wine and less.\n",
    "left,right\n" * 30,
    "<b>Not</b> a page, only a word in bold.",
]


@pytest.mark.parametrize("content", PROSE)
@pytest.mark.parametrize("ending", ["", " Then more words follow.\n\nAnd a last paragraph, with commas, here.\n"])
def test_prose_is_prose_whatever_it_begins_with(tmp_path, words, content, ending):
    path = put(tmp_path / "a.txt", content + ending)
    assert tell(tmp_path / "a.txt", None).kind == "text"
    whole = words.encode(content + ending, add_special_tokens=False)
    (found,) = read(words, path, pack=True, context=len(whole))
    assert list(found.ids) == whole


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", json.dumps({"data": ["x"], "version": 1}, indent=1), r"one JSON object \(fields: data, version\)"),
        ("a.txt", '{"text": "one"}\n{"text": "tw', "line 2: broken JSON"),
        ("a.txt", '{"text": "one",\n', "line 1: broken JSON"),
        ("a.txt", "{'text': 'one two'}\n{'text': 'three'}\n", "line 1: broken JSON"),
        ("a.txt", "{text: one two}\n{text: three four}\n{text: five}", "line 1: broken JSON"),
        ("a.txt", '["one text", "another"]', "line 1: needs a JSON object, found str"),
        ("a.txt", "[1, 2,\n3]", "line 1: needs a JSON object, found int"),
        ("a.txt", '[{"text": "one"},\n {"text": "two"', r"line 2: broken JSON"),
        ("a.txt", '[{"text": "one"}\n {"text": "two"}]', r"line 1: broken JSON, no comma"),
        ("a.txt", '[{"text": "one"},\n\n 5]', r"line 3: needs a JSON object, found int"),
        ("a.jsonl", "just words\n", "line 1: broken JSON .* needs a JSON object a line"),
        ("a.json.gz", "just words\n", "line 1: broken JSON"),
        ("a.csv", "Just words of prose, as they come.\n", "looks like a table; columns found"),
        ("a.txt", "<!DOCTYPE html>\n<html><p>words", "HTML or XML"),
        ("a.txt", '\n<?xml version="1.0"?><a>words</a>', "HTML or XML"),
        ("a.txt", b"PK\x03\x04 zipped words", "is a zip archive"),
        ("a.txt", rb"{\rtf1 words and words and words}", "is rich text"),
        ("a.txt", b"%PDF-1.4 words", "is a PDF"),
        ("a.txt", b"\xfe\xff\x00w\x00o", "is UTF-16 text"),
        ("a.txt", '{"body": "one"}', "line 1: needs the fields text; found body; name the one"),
        ("a.txt", '{"text": null}', "line 1: field 'text' holds NoneType, needs text"),
        ("a.txt", '{"text": ["a"]}', "line 1: field 'text' holds list, needs text"),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(tmp_path, words, name, content, said):
    with pytest.raises(BadFile, match=rf"{name} .*{said}") as refused:
        read(words, put(tmp_path / name, content))
    assert "\n" not in str(refused.value)


def test_a_refusal_stays_short(tmp_path, words):
    path = put(tmp_path / "a.csv", "word " * 100_000 + "," + ",".join(map(str, range(500))) + "\n")
    with pytest.raises(BadFile) as refused:
        read(words, path)
    assert len(str(refused.value)) < 500


def test_a_column_needs_a_source_that_has_columns(tmp_path, words):
    prose = put(tmp_path / "a.txt", "a few words of prose")
    rows = put(tmp_path / "a.jsonl", JSON_LINES)
    with pytest.raises(BadSetting, match=r"--column text: .*a\.txt is running text, without columns"):
        read(words, prose, column="text", context=4)
    with pytest.raises(BadSetting, match="without columns"):
        TextTask(column="text").build(words, n=1, context=4, seed=0)
    both = TextTask((prose, rows), column="label").build(words, n=99, context=4, seed=0)
    assert len(both) == 1 + 3


HALF = '{"text": "whole words here"}\n{"text": "half \\ud83d of a pair"}\n'


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_half_of_a_surrogate_pair_names_file_and_line(tmp_path, words, name):
    with pytest.raises(BadFile, match=rf"{name} line 2: \\ud83d is half of a surrogate pair"):
        read(words, put(tmp_path / name, HALF))
    with pytest.raises(BadFile, match=r"line 3: .*half of a surrogate pair"):
        read(words, put(tmp_path / name, '[{"text": "one"},\n\n{"text": "two", "more": {"\\uDC00": 1}}]'))


def test_a_whole_pair_and_an_escaped_backslash_are_read(tmp_path, words):
    content = '{"text": "a smile \\ud83d\\ude00 and a path c:\\\\udata"}\n'
    (found,) = read(words, put(tmp_path / "a.jsonl", content))
    assert found.prompt == "<s> a smile \U0001f600 and a path c:\\udata"


@pytest.mark.parametrize("task", [KvprTask, MdqaTask])
def test_half_a_pair_in_data(tmp_path, words, task):
    record = {"ordered_kv_records": [["a", "\ud83d"]], "key": "a", "value": "b"}
    record |= {"question": "\ud83d?", "answers": ["x"], "ctxs": [{"text": "x"}]}
    with pytest.raises(BadFile, match=r"line 1: .*half of a surrogate pair"):
        task(put(tmp_path / "a.jsonl", json.dumps(record))).build(words, n=1, context=300, seed=0)


def question(i=0, **changes):
    passages = [{"title": f"t{k}", "text": f"box {k} holds thing{k}", "isgold": k == 1} for k in range(4)]
    return {"question": f"what does box {i} hold?", "answers": ["thing1"], "ctxs": passages} | changes


def test_questions_of_an_array_and_of_any_name(tmp_path, words):
    rows = [question(i) for i in range(3)]
    built = [
        MdqaTask(put(tmp_path / name, content)).build(words, n=3, context=200, seed=0)
        for name, content in (
            ("a.jsonl", "\n".join(map(json.dumps, rows))),
            ("a.json", json.dumps(rows)),
            ("a.txt.gz", json.dumps(rows, indent=1)),
        )
    ]
    assert built[0] == built[1] == built[2]
    assert len(built[0]) == 3


def test_the_passage_marked_by_a_word_is_refused_not_taken(tmp_path, words):
    for word in ("False", "True", 1, 0, None, []):
        wrong = question()
        wrong["ctxs"] = [c | {"isgold": word} for c in wrong["ctxs"]]
        path = put(tmp_path / "q.jsonl", "\n".join(map(json.dumps, (question(), wrong))))
        with pytest.raises(BadFile, match=r"q\.jsonl line 2: isgold of a passage needs to be true or false, found"):
            MdqaTask(path).build(words, n=1, context=200, seed=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answers": "thing1"}, "answers needs to be a list of texts"),
        ({"answers": ["thing1", 5]}, "answers needs to be a list of texts"),
        ({"answers": [" "]}, "at least one text"),
        ({"question": 7}, "question needs to be a text"),
        ({"ctxs": {"text": "x"}}, "ctxs needs to be a list of passages"),
        ({"ctxs": ["text"]}, "ctxs needs to be a list of passages"),
        ({"ctxs": [{"text": "x", "title": 0}]}, "a title if any that is text"),
        ({"ctxs": [{"text": "x", "title": []}]}, "a title if any that is text"),
        ({"ctxs": [{"text": None}]}, "needs a text"),
        ({"ctxs": [{"text": "x", "hasanswer": "no"}]}, "hasanswer of a passage needs to be true or false"),
    ],
)
def test_fields_of_a_question_are_checked_for_their_type(tmp_path, words, changes, said):
    path = put(tmp_path / "q.jsonl", "\n".join(map(json.dumps, (question(), question(**changes)))))
    with pytest.raises(BadFile, match=rf"q\.jsonl line 2: .*{said}"):
        MdqaTask(path).build(words, n=1, context=200, seed=0)


def test_a_title_of_null_is_none(tmp_path, words):
    asked = question()
    asked["ctxs"] = [c | {"title": None} for c in asked["ctxs"]]
    (found,) = MdqaTask(put(tmp_path / "q.jsonl", json.dumps(asked))).build(words, n=1, context=200, seed=0)
    assert "Document [1](Title: ) box" in found.prompt


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": 1}, "key and value need to be texts"),
        ({"value": None}, "key and value need to be texts"),
        ({"value": ""}, "key and value need to be texts that are not empty"),
        ({"ordered_kv_records": "k1"}, "list of"),
        ({"ordered_kv_records": [["k1", "v1"], ["k2", True]]}, "strings"),
        ({"ordered_kv_records": [["k1", "v1", "w"]]}, "pairs of strings"),
    ],
)
def test_fields_of_a_set_of_pairs_are_checked_for_their_type(tmp_path, words, changes, said):
    good = {"ordered_kv_records": [[f"k{i}", f"v{i}"] for i in range(5)], "key": "k1", "value": "v1"}
    path = put(tmp_path / "kv.json", json.dumps([good, good | changes], indent=0).replace("\n", " "))
    with pytest.raises(BadFile, match=rf"kv\.json line 1: .*{said}"):
        KvprTask(path).build(words, n=2, context=300, seed=0)


def test_a_table_for_pairs_is_no_json(tmp_path, words):
    with pytest.raises(BadFile, match=r"kv\.csv line 1: broken JSON .* needs a JSON object a line"):
        KvprTask(put(tmp_path / "kv.csv", "key,value\na,b\n")).build(words, n=1, context=300, seed=0)


def test_lines_are_those_of_split(tmp_path):
    for content in ("", "a", "a\n", "\n\na\n\nb", "x" * 200_000 + "\ny\n" + "z" * 70_000):
        path = tmp_path / "a.txt"
        put(path, content + "\nend")
        assert list(lines(path)) == [*content.split("\n"), "end"]


def test_records_of_lines_and_of_arrays_number_the_lines_they_begin_in(tmp_path):
    path = tmp_path / "a.json"
    put(path, '\n[\n{"a":\n1},{"b": 2}\n\n ,{"c": 3}\n]\n')
    assert list(records(path)) == [(3, {"a": 1}), (4, {"b": 2}), (6, {"c": 3})]


@pytest.mark.parametrize("form", ["{}", '{{"text": "{}"}}\n', '[{{"text": "{}"}}]', 'text,n\n"{}",1\nx,2\ny,3\n'])
def test_time_grows_linearly_with_the_length_of_a_line(tmp_path, form):
    seconds = []
    for millions in (1, 4):
        path = put(tmp_path / f"{millions}.txt", form.format("word " * (millions * 200_000)))
        column = "text" if form.startswith("text") else None
        fastest = []
        for _ in range(2):
            begun = time.process_time()
            source = TextTask((path,), column=column)._read()[0]
            fastest.append(time.process_time() - begun)
            assert source.held.characters >= millions * 1_000_000
        seconds.append(max(fastest))
    assert seconds[1] < 8 * seconds[0] + 0.2
