"""Texts from files and datasets, as they come: in chunks of a stream, or a document at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repflow.core import BadFile
from repflow.tasks._hub import PREFIX, column_of, is_saved_dataset, parse
from repflow.tasks.files import blocks, check_file, lines, need_fields, records, sha256_of

CHUNK = 1 << 18
"""Characters that are tokenised at once. A text up to this size is tokenised whole; a larger one is cut where
a paragraph, line or word ends."""
_BREAKS = ("\n\n", "\n", " ")


def is_dataset(source: str) -> bool:
    return source.startswith(PREFIX) or is_saved_dataset(Path(source))


def is_json_lines(source: str) -> bool:
    return source.endswith((".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"))


def check_source(source: str) -> None:
    """Raises before any work is done where a source is absent, empty, or no text at all."""
    if source.startswith(PREFIX):
        parse(source)
    elif not is_dataset(source):
        check_file(Path(source))


def documents(source: str, column: str) -> Iterator[str]:
    """The documents of a source that have more than white space: rows of a dataset or JSON Lines file, and in any
    other file the parts between blank lines."""
    found = False
    for text in _documents(source, column):
        if text.strip():
            found = True
            yield text
    if not found:
        raise BadFile(f"{source} holds no text, only blanks")


def _documents(source: str, column: str) -> Iterator[str]:
    if is_dataset(source):
        return column_of(source, column)
    if is_json_lines(source):
        return _json_column(Path(source), column)
    return _paragraphs(Path(source))


def _json_column(path: Path, column: str) -> Iterator[str]:
    for number, record in records(path):
        need_fields(path, number, record, (column,))
        if not isinstance(record[column], str):
            kind = type(record[column]).__name__
            raise BadFile(f"{path} line {number}: field {column!r} holds {kind}, needs text; see --column")
        yield record[column]


def _paragraphs(path: Path) -> Iterator[str]:
    held: list[str] = []
    for line in lines(path):
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def chunks(source: str, column: str, size: int = CHUNK) -> Iterator[str]:
    """The text of a source in consecutive chunks of at most `size` characters, cut at fixed places.

    Documents of a dataset or JSON Lines file are joined by a blank line. Raises BadFile for a source of blanks.
    """
    blank = True
    held = ""
    for text in _stream(source, column):
        held += text
        while len(held) > size:
            cut = _cut(held, size)
            blank = blank and not held[:cut].strip()
            yield held[:cut]
            held = held[cut:]
    if blank and not held.strip():
        raise BadFile(f"{source} holds no text, only blanks")
    yield held


def _stream(source: str, column: str) -> Iterator[str]:
    if not is_dataset(source) and not is_json_lines(source):
        yield from blocks(Path(source))
        return
    for number, text in enumerate(documents(source, column)):
        yield f"\n\n{text}" if number else text


def _cut(text: str, size: int) -> int:
    """Where to cut: after the last paragraph, line or word that ends in the second half of `size`."""
    for mark in _BREAKS:
        at = text.rfind(mark, size // 2, size)
        if at >= 0:
            return at + len(mark)
    return size


def facts(source: str) -> dict[str, Any]:
    """Name and sha256 of a source for run.json; a dataset of the hub has no sha256."""
    if source.startswith(PREFIX) and not is_saved_dataset(Path(parse(source).name)):
        return {"dataset": source, "sha256": None}
    path = Path(parse(source).name if source.startswith(PREFIX) else source)
    return {"file": path.name, "sha256": sha256_of(path)}
