"""The sources of running text: files, saved datasets and datasets of the hub, each read once and cut into blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from repflow.core import BadFile
from repflow.tasks.blocks import Blocks, blocks_of
from repflow.tasks.files import blocks, check_file, sha256_of
from repflow.tasks.formats import DEFAULT_COLUMN, column_texts, tell
from repflow.tasks.held import Held, hold_rows, hold_text
from repflow.tasks.hub import PREFIX, column_of, is_saved_dataset, is_streamed, parse

STREAMED = 1 << 24
"""Characters of a dataset that are read from the hub as it streams; what comes after them is not seen."""
_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Source:
    """One source, read."""

    held: Held
    blocks: Blocks


def is_dataset(source: str) -> bool:
    return source.startswith(PREFIX) or is_saved_dataset(Path(source))


def check_source(source: str) -> None:
    """Raises before any work is done where a source is absent or empty."""
    if source.startswith(PREFIX):
        parse(source)
    elif not is_dataset(source):
        check_file(Path(source))


def read_source(source: str, column: str | None) -> Source:
    """A source's text and its blocks. Read again only where the file has changed. Raises BadFile."""
    check_source(source)
    return _read(source, column, _stamp(source))


def _stamp(source: str) -> tuple[int, int]:
    """What changes when a file does: its size and time."""
    try:
        status = Path(source).stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=_REMEMBERED)
def _read(source: str, column: str | None, stamp: tuple[int, int]) -> Source:
    del stamp
    held = _hold(source, column)
    if not held.text.strip():
        raise BadFile(f"{source} holds no text, only blanks")
    return Source(held, blocks_of(held.text, held.starts.tolist()))


def _hold(source: str, column: str | None) -> Held:
    if is_streamed(source):
        return hold_rows(_first(column_of(source, column or DEFAULT_COLUMN), STREAMED))
    if is_dataset(source):
        return hold_rows(column_of(source, column or DEFAULT_COLUMN))
    path = Path(source)
    found = tell(path, column)
    if found.has_columns:
        return hold_rows(column_texts(path, found, column))
    return hold_text(blocks(path))


def _first(documents: Iterator[str], characters: int) -> Iterator[str]:
    """The documents up to the one with which there are so many characters."""
    for document in documents:
        yield document
        characters -= len(document)
        if characters <= 0:
            return


def facts(source: str, column: str | None) -> dict[str, Any]:
    """What run.json keeps of a source: name and sha256 (none for a dataset of the hub), its size and its blocks."""
    read = read_source(source, column)
    known: dict[str, Any] = {"characters": read.held.characters, "blocks": len(read.blocks.ends)}
    known["block_characters"] = read.blocks.length
    if read.held.rows:
        known["documents"] = len(read.held.starts)
    if len(read.held.text) < read.held.characters:
        known["characters_held"] = len(read.held.text)
    if is_streamed(source) and read.held.characters >= STREAMED:
        known["read"] = f"the first {STREAMED:,} characters of the stream"
    if source.startswith(PREFIX) and not is_saved_dataset(Path(parse(source).name)):
        return {"dataset": source, "sha256": None, **known}
    path = Path(parse(source).name if source.startswith(PREFIX) else source)
    return {"file": path.name, "sha256": sha256_of(path), **known}
