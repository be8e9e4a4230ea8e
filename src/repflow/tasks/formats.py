"""What a file of texts is, told by its content, and its rows. A name decides nothing; it can only make doubtful."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from repflow.core import BadFile
from repflow.tasks.files import blocks, check_file, head_of, lines, listed, need_fields, records

HEAD = 1 << 20
"""Characters by which a format is told."""
DEFAULT_COLUMN = "text"
"""Where records of named fields have their text unless told."""
_RECORDS = 50
_LEAST = 2
_LEAST_SPACED = 6
_LEAST_REGULAR = 10
"""Records that make a table of lines with commas, tabs or the like: more where a space follows these, as in prose,
and where the first line holds no names."""
_FITTING = 0.8
_DELIMITERS = ",\t;|"
_WIDEST = 2**31 - 1
_NAME = re.compile(r"(?=.{1,40}$)[^\W\d][\w.\-/#()*%]*(?: [\w\-/#()*%]+){0,3}(?<!\.)|\d{1,3}|")
"""What a column may be called: up to four words that end no sentence, a number, or nothing."""
_OBJECT = re.compile(r'\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\})')
_ARRAY = re.compile(r"\[\s*\{\s*(?:\"|\})")
_MARKUP = re.compile(r"<!doctype\s+html|<html[\s>]|<\?xml\s", re.IGNORECASE)
_JSON_NAMES = (".json", ".jsonl", ".ndjson")
_TABLE_NAMES = (".csv", ".tsv")

Kind = Literal["text", "json", "table", "parquet"]


@dataclass(frozen=True, slots=True)
class Format:
    """What a file is."""

    kind: Kind
    fields: tuple[str, ...] = ()
    """The columns of a table."""
    delimiter: str = ","

    @property
    def has_columns(self) -> bool:
        return self.kind != "text"


def tell(path: Path, column: str | None) -> Format:
    """The format of a file: running text, JSON objects (a line each, or one array), a table (CSV, TSV), or parquet.

    A table needs `column`. Raises BadFile, which lists the columns found, for a table without it or with another, and
    for what looks like one format and is none: broken JSON, markup, other kinds of files.
    """
    check_file(path)
    if _is_parquet(path):
        return Format("parquet")
    head = head_of(path, HEAD)
    if _MARKUP.match(head):
        raise BadFile(f"{path} is HTML or XML, whose tags would be measured as text; save its text alone")
    if _OBJECT.match(head):
        _refuse_one_object(path)
    if _OBJECT.match(head) or _is_array(path, head) or _named(path, _JSON_NAMES) or _braced(head):
        next(records(path))
        return Format("json")
    return _table(path, head, column) or Format("text")


def _named(path: Path, endings: Sequence[str]) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(tuple(endings))


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def _braced(head: str) -> bool:
    """Whether every line stands in braces, as records do that are not quite JSON."""
    some = [line.strip() for line in head.splitlines()[:_RECORDS] if line.strip()]
    return len(some) > 1 and all(line[0] == "{" and line[-1] == "}" for line in some[:-1])


def _is_array(path: Path, head: str) -> bool:
    return bool(_ARRAY.match(head)) or (head.startswith("[") and isinstance(_parsed("".join(blocks(path))), list))


def _refuse_one_object(path: Path) -> None:
    """Raises BadFile for a JSON object over several lines."""
    if _parsed(next(line for line in lines(path) if line.strip())) is not None:
        return
    whole = _parsed("".join(blocks(path)))
    if isinstance(whole, dict):
        found = listed(cast(dict[str, Any], whole))
        raise BadFile(f"{path} is one JSON object (fields: {found}); needs an object a line, or an array of objects")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _table(path: Path, head: str, column: str | None) -> Format | None:
    """The table a file is, or None where it is none."""
    guesses = [guess for delimiter in _DELIMITERS if (guess := _Guess.of(head, delimiter))]
    best = max(guesses, key=lambda guess: (guess.fits(column), len(guess.header)), default=None)
    promised = _named(path, _TABLE_NAMES)
    if best is None or not (promised or best.fits(column)):
        return None
    if column is None or column not in best.header:
        what = "looks like a table" if column is None else f"has no column {column!r}"
        raise BadFile(
            f"{path} {what}; columns found: {listed(best.header)}; name the one that holds the text with --column"
        )
    return Format("table", best.header, best.delimiter)


@dataclass(frozen=True, slots=True)
class _Guess:
    """A file's beginning, read as a table."""

    header: tuple[str, ...]
    delimiter: str
    likely: bool

    @classmethod
    def of(cls, head: str, delimiter: str) -> "_Guess | None":
        read: list[list[str]] = []
        try:
            with _wide_fields():
                for record in islice(csv.reader(io.StringIO(head), delimiter=delimiter), _RECORDS):
                    read += [record] if record else []
        except csv.Error:
            return None
        if not read:
            return None
        # The last record may be cut off by the end of the beginning.
        if len(head) >= HEAD and 1 < len(read) < _RECORDS:
            read.pop()
        header = tuple(field.strip() for field in read[0])
        spaced = any(field.startswith(" ") for field in read[0][1:])
        named = all(map(_NAME.fullmatch, header)) and any(header)
        fitting = sum(len(record) == len(header) for record in read)
        if spaced:
            likely = named and not any(" " in field for field in header) and len(read) >= _LEAST_SPACED
        else:
            regular = len(header) > 2 and fitting == len(read) >= _LEAST_REGULAR
            likely = regular or (named and len(read) >= _LEAST)
        heads = len(set(header)) == len(header) > 1 and read[0] not in read[1:]
        return cls(header, delimiter, likely and heads and fitting >= _FITTING * len(read))

    def fits(self, column: str | None) -> bool:
        """Whether it is a table for all one can see, or has the column asked for."""
        return self.likely or column in self.header


@contextmanager
def _wide_fields() -> Iterator[None]:
    """The csv module with fields of any length, as long as this lasts."""
    before = csv.field_size_limit(_WIDEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def column_texts(path: Path, found: Format, column: str | None) -> Iterator[str]:
    """The texts of a column, in order. Raises BadFile, with the line or row, where there is none, or no text in it."""
    name = DEFAULT_COLUMN if column is None else column
    if found.kind == "table":
        at = found.fields.index(name)
        return (record[at] for record in table_rows(path, found))
    return _json_column(path, name) if found.kind == "json" else _parquet_column(path, name)


def _json_column(path: Path, column: str) -> Iterator[str]:
    for number, record in records(path):
        need_fields(path, number, record, (column,), "; name the one that holds the text with --column")
        if not isinstance(record[column], str):
            kind = type(record[column]).__name__
            raise BadFile(f"{path} line {number}: field {column!r} holds {kind}, needs text; see --column")
        yield record[column]


def table_rows(path: Path, found: Format) -> Iterator[list[str]]:
    """The records of a table below its header, each of as many fields. Quoted fields may hold line ends."""
    reader = csv.reader((f"{line}\n" for line in lines(path)), delimiter=found.delimiter, strict=True)
    begun = False
    while True:
        try:
            with _wide_fields():
                record = next(reader, None)
        except csv.Error as error:
            raise BadFile(f"{path} line {reader.line_num}: broken table ({error}); mend its quotes") from error
        if record is None:
            return
        if record and begun:
            if len(record) != len(found.fields):
                raise BadFile(
                    f"{path} line {reader.line_num}: {len(record)} fields where the header has {len(found.fields)}; "
                    "quote a field that holds the delimiter"
                )
            yield record
        begun = begun or bool(record)


def _parquet_column(path: Path, column: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream:
            file = pq.ParquetFile(stream)
            names = file.schema_arrow.names
            if column not in names:
                raise BadFile(
                    f"{path} has no column {column!r}; columns found: {listed(names)}; name the one that "
                    "holds the text with --column"
                )
            row = 0
            for batch in file.iter_batches(columns=[column]):
                for value in batch.column(0).to_pylist():
                    row += 1
                    if not isinstance(value, str):
                        kind = type(value).__name__
                        raise BadFile(f"{path} row {row}: column {column!r} holds {kind}, needs text; see --column")
                    yield value
    except (pa.ArrowException, OSError) as error:
        raise BadFile(f"{path}: the parquet file is broken ({str(error).splitlines()[0]}); fetch it again") from error
