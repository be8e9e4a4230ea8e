"""Reading what people hand in: text and JSON lines, plain or gzipped, with errors that name file and line."""

import codecs
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, cast

from repflow.core import BadFile

BLOCK = 1 << 16
_SPACE = re.compile(r"\s*")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_DECODER = json.JSONDecoder()
_SHOWN = 20


def shipped(name: str) -> Path:
    """The path of a data file that comes with the package."""
    return Path(str(resources.files("repflow.tasks") / "data" / name))


def check_file(path: Path) -> None:
    """Raises BadFile unless `path` is a file with something in it."""
    if path.is_dir():
        raise BadFile(f"{path} is a folder; name a file in it")
    if not path.exists():
        raise BadFile(f"there is no file {path}")
    if not path.is_file():
        raise BadFile(f"{path} is not a regular file; save what it gives to a file first")
    try:
        empty = path.stat().st_size == 0
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from error
    if empty:
        raise BadFile(f"{path} is empty")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes, or of all files of a folder in the order of their names."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if not path.is_dir():
            check_file(file)
        try:
            with file.open("rb") as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise BadFile(f"{file} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def blocks(path: Path) -> Generator[str, None, None]:
    """The text of a UTF-8 file in blocks, gunzipped if need be, without BOM, every line end a newline.

    Reads as far as it is asked to. Raises BadFile, with the 1-based line, for bytes that are not UTF-8, for NUL, which
    no text holds, and for gzip data that is broken or ends early; and for what its first bytes say is no text.
    """
    check_file(path)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    line, first = 1, True
    try:
        with _opened(path) as stream:
            while True:
                raw = stream.read(BLOCK)
                if first:
                    _refuse_other(path, raw)
                    first = False
                text = decoder.decode(cast(Any, raw), final=not raw)
                if "\0" in text:
                    line += text.count("\n", 0, text.index("\0"))
                    raise BadFile(f"{path} line {line}: holds a NUL byte; save the file as UTF-8 text")
                line += text.count("\n")
                if text:
                    yield text
                if not raw:
                    return
    except UnicodeDecodeError as error:
        line += error.object[: error.start].count(b"\n")
        bad = error.object[error.start]
        raise BadFile(f"{path} line {line}: byte 0x{bad:02x} is not UTF-8; save the file as UTF-8 text") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(f"{path} line {line}: the gzip data is broken or ends early; fetch the file again") from error
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}") from error


_OTHER = {
    codecs.BOM_UTF32_LE: "UTF-32 text",
    codecs.BOM_UTF16_LE: "UTF-16 text",
    codecs.BOM_UTF16_BE: "UTF-16 text",
    b"PK\x03\x04": "a zip archive",
    b"%PDF-": "a PDF",
    b"{\\rtf": "rich text (RTF)",
    b"PAR1": "a parquet file",
}
"""How files begin that are no UTF-8 text."""


def _refuse_other(path: Path, raw: bytes) -> None:
    for beginning, what in _OTHER.items():
        if raw.startswith(beginning):
            raise BadFile(f"{path} is {what}; save its text as UTF-8")


def _opened(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as stream:
        magic = stream.read(2)
    zipped = magic == b"\x1f\x8b" or path.suffix == ".gz"
    return gzip.open(path, "rb") if zipped else path.open("rb")


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file without their ends, the last one too if it has none. Linear in the length of a line."""
    held: list[str] = []
    for block in blocks(path):
        first, *others = block.split("\n")
        held.append(first)
        if others:
            yield "".join(held)
            yield from others[:-1]
            held = others[-1:]
    if any(held):
        yield "".join(held)


def head_of(path: Path, characters: int) -> str:
    """The beginning of a text file, without white space before it: at least so many characters, if it has them."""
    text = ""
    with closing(blocks(path)) as parts:
        for part in parts:
            text = (text + part).lstrip()
            if len(text) >= characters:
                break
    return text


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file, or of a file that is one JSON array, each with the 1-based line it begins in.

    Blank lines are passed over. Raises BadFile for what is no JSON object, for a text with half of a surrogate pair,
    which no tokenizer can read, and for a file without any object.
    """
    found = False
    for number, raw, value in _array(path) if head_of(path, 1).startswith("[") else _each_line(path):
        found = True
        if not isinstance(value, dict):
            raise BadFile(f"{path} line {number}: needs a JSON object, found {type(value).__name__}")
        if _HALF.search(raw):
            _refuse_half(path, number, value)
        yield number, cast(dict[str, Any], value)
    if not found:
        raise BadFile(f"{path} holds no records")


def _each_line(path: Path) -> Iterator[tuple[int, str, Any]]:
    for number, line in enumerate(lines(path), start=1):
        if line.strip():
            try:
                yield number, line, json.loads(line)
            except (ValueError, RecursionError) as error:
                advice = "the line may be cut short" if line.lstrip()[0] == "{" else "needs a JSON object a line"
                raise BadFile(f"{path} line {number}: broken JSON ({error}); {advice}") from error


def _array(path: Path) -> Iterator[tuple[int, str, Any]]:
    text = "".join(blocks(path))
    number, counted, at = 1, 0, text.index("[") + 1
    while True:
        at = _past_space(text, at)
        number, counted = number + text.count("\n", counted, at), at
        if text[at : at + 1] == "]" and not text[at + 1 :].strip():
            return
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise BadFile(f"{path} line {number}: broken JSON ({error}); the file may be cut short") from error
        yield number, text[at:end], value
        at = _past_space(text, end)
        if text[at : at + 1] not in (",", "]"):
            raise BadFile(f"{path} line {number}: broken JSON, no comma behind a record; the file may be cut short")
        at += text[at] == ","


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _refuse_half(path: Path, number: int, value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise BadFile(
            f"{path} line {number}: \\u{half:04x} is half of a surrogate pair, no character; mend or drop the record"
        ) from error


def listed(names: Iterable[str]) -> str:
    """Names for a message: the first twenty, none of them long."""
    shown = [name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..." for name in islice(names, _SHOWN)]
    return ", ".join(shown) or "none"


def need_fields(path: Path, number: int, record: dict[str, Any], needed: tuple[str, ...], advice: str = "") -> None:
    """Raises BadFile that lists the fields found and the fields needed, with advice behind it."""
    if any(name not in record for name in needed):
        found = listed(record)
        raise BadFile(f"{path} line {number}: needs the fields {', '.join(needed)}; found {found}{advice}")
