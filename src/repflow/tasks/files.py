"""Reading what people hand in: text and JSON lines, plain or gzipped, with errors that name file and line."""

import codecs
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, cast

from repflow.core import BadFile

BLOCK = 1 << 16


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


def blocks(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file in blocks, gunzipped if need be, without BOM, every line end a newline.

    Reads as far as it is asked to. Raises BadFile, with the 1-based line, for bytes that are not UTF-8 and for
    gzip data that is broken or ends early.
    """
    check_file(path)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    line = 1
    try:
        with _opened(path) as stream:
            while True:
                raw = stream.read(BLOCK)
                text = decoder.decode(cast(Any, raw), final=not raw)
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


def _opened(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as stream:
        magic = stream.read(2)
    zipped = magic == b"\x1f\x8b" or path.suffix == ".gz"
    return gzip.open(path, "rb") if zipped else path.open("rb")


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file without their ends; the last one too if it has no end."""
    rest = ""
    for block in blocks(path):
        *whole, rest = (rest + block).split("\n")
        yield from whole
    if rest:
        yield rest


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file, each with its 1-based line; blank lines are passed over.

    Raises BadFile for a line that is not a JSON object and for a file without any.
    """
    found = False
    for number, line in enumerate(lines(path), start=1):
        if not line.strip():
            continue
        found = True
        yield number, _object(path, number, line)
    if not found:
        raise BadFile(f"{path} holds no records, only blank lines")


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path} line {number}: broken JSON ({error}); the line may be cut short") from error
    if not isinstance(value, dict):
        raise BadFile(f"{path} line {number}: needs a JSON object, found {type(value).__name__}")
    return cast(dict[str, Any], value)


def need_fields(path: Path, number: int, record: dict[str, Any], needed: tuple[str, ...]) -> None:
    """Raises BadFile that lists the fields found and the fields needed."""
    if any(name not in record for name in needed):
        found = ", ".join(map(str, record)) or "none"
        raise BadFile(f"{path} line {number}: needs the fields {', '.join(needed)}; found {found}")
