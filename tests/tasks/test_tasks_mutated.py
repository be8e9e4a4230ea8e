"""Files with something wrong in them, by the hundred: each is read or refused in one line that names it."""

import csv
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from repflow.core import CallerError
from repflow.tasks import KvprTask, MdqaTask, TextTask

WRONG = [None, True, 3, 2.5, "x", "", [], [1], {}, {"a": 1}, "\ud83d", "9" * 5_000, [[]], "a" * 9_000]
"""What may stand in place of a value."""
BYTES = [
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"\r",
    b"\t",
    b"\\u",
    b"\\ud800",
    b"\x1f\x8b",
]
ROWS = [{"text": f"row {i} says a few words, and then some more", "label": "ab"[i % 2]} for i in range(12)]
PAIRS = [
    {"ordered_kv_records": [[f"k{i}{j}", f"v{i}{j}"] for j in range(5)], "key": f"k{i}1", "value": f"v{i}1"}
    for i in range(4)
]
QUESTIONS = [
    {
        "question": f"what does box {i} hold?",
        "answers": [f"thing{i}"],
        "ctxs": [
            {"title": f"t{j}", "text": f"box {j} holds thing{j}", "isgold": j == i, "hasanswer": j == i}
            for j in range(4)
        ],
    }
    for i in range(4)
]


def lines_of(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def array_of(rows: Any) -> bytes:
    return json.dumps(rows, indent=1).encode()


def table_of(rows: Any) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet_of(rows: Any) -> bytes:
    return pd.DataFrame(rows).to_parquet()


def prose_of(rows: Any) -> bytes:
    return "\n\n".join(row["text"] for row in rows).encode()


def zipped(rows: Any) -> bytes:
    return gzip.compress(lines_of(rows), mtime=0)


Write = Callable[[Any], bytes]
KINDS: dict[str, tuple[Any, Write, Callable[[str], Any]]] = {
    "prose": (ROWS, prose_of, lambda path: TextTask((path,))),
    "lines": (ROWS, lines_of, lambda path: TextTask((path,), pack=False)),
    "array": (ROWS, array_of, lambda path: TextTask((path,))),
    "table": (ROWS, table_of, lambda path: TextTask((path,), column="text")),
    "parquet": (ROWS, parquet_of, lambda path: TextTask((path,))),
    "zipped": (ROWS, zipped, lambda path: TextTask((path,))),
    "pairs": (PAIRS, lines_of, KvprTask),
    "pairs in an array": (PAIRS, array_of, KvprTask),
    "questions": (QUESTIONS, lines_of, MdqaTask),
    "questions in an array": (QUESTIONS, array_of, MdqaTask),
}
EACH = 36


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a nest of lists and objects."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def replaced(rows: Any, rng: random.Random) -> Any:
    """The rows with one value exchanged, taken out, or written twice."""
    rows = json.loads(json.dumps(rows))
    *way, last = rng.choice([place for place in places(rows) if len(place) > 1])
    holder = rows
    for key in way:
        holder = holder[key]
    if rng.random() < 0.2:
        del holder[last]
    else:
        holder[last] = rng.choice(WRONG)
    return rows


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes cut off, with a piece missing or doubled, a bit turned, or something put in."""
    at, size = rng.randrange(len(data)), rng.randrange(1, 40)
    how = rng.randrange(5)
    if how == 0:
        return data[:at]
    if how == 1:
        return data[:at] + data[at + size :]
    if how == 2:
        return data[: at + size] + data[at:]
    if how == 3:
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    return data[:at] + rng.choice(BYTES) + data[at:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind: str, tmp_path: Path, words: Any) -> None:
    rows, write, task = KINDS[kind]
    rng = random.Random(f"mutations of {kind}")
    outcomes: Counter[str] = Counter()
    for number in range(EACH):
        nested = number % 2 and write in (lines_of, array_of, zipped)
        path = tmp_path / f"{number}.dat"
        path.write_bytes(write(replaced(rows, rng)) if nested else damaged(write(rows), rng))
        try:
            outcomes["read"] += bool(task(str(path)).build(words, n=4, context=5 if rows is ROWS else 300, seed=0))
        except CallerError as error:
            said = str(error)
            assert (said.count("\n"), path.name in said, len(said) < 700) == (0, True, True), said
            outcomes["refused"] += 1
    assert outcomes.total() == EACH
    assert outcomes["refused"] > (0 if kind == "prose" else 3)
