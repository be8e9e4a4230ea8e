"""A command's help as people read it: options in groups under the sentence that says what they are for."""

import contextlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator

WIDEST = 100
"""Beyond it lines are long to read, and tyro sets groups side by side, out of their order."""


def printed(print_help: Callable[[], object]) -> str:
    """What `print_help` prints before it ends the program, made plain."""
    said = io.StringIO()
    with _columns(min(shutil.get_terminal_size().columns, WIDEST)), contextlib.redirect_stdout(said):
        try:
            print_help()
        except SystemExit as stop:
            if stop.code:
                raise
    return plain(said.getvalue())


def plain(text: str) -> str:
    """Tyro's help, as it writes it in ASCII, without its rules, its names of groups and of Python's types."""
    for pattern, kept in _PLAIN:
        text = re.sub(pattern, kept, text, flags=re.MULTILINE)
    return f"{text.strip()}\n"


def _shorter(found: re.Match[str]) -> str:
    """A type in one word, in as many characters where its sentence stands on the same line."""
    word = f"{found['several']} ..." if found["several"] else found["perhaps"]
    return word + " " * (len(found.group()) - len(word)) if found["sentence"] is not None else word


_PLAIN: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r" +$", ""),
    # A group has its name, a rule, its sentence and a rule; two groups have a name alone.
    (r"^ \w+ options\n -+\n  ([^-].*?(?:\n  [^ -].*?)*?)\.?\n  -+$", r"\1:"),
    (r"^ positional arguments\n -+$", "Arguments:"),
    (r"^ options\n -+$", "Options:"),
    (
        r"(?:\{None\}\|(?P<perhaps>\w+)|\[(?P<several>\{\S+\}|\w+) \[(?P=several) \.\.\.\]\])(?P<sentence>(?=  ))?",
        _shorter,
    ),
    (r"\s+\(default:(\s+None)?\s*\)|\s+\(required\)", ""),
    (r"^(usage: .*?) \[-h\]", r"\1"),
    (r"^(usage: .*?)( \[OPTIONS\])( \S.*)$", r"\1\3\2"),
    (r"\n{3,}", "\n\n"),
)


@contextlib.contextmanager
def _columns(n: int) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(n)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
