"""Text from outside, made safe to show: names may hold what steers a terminal or turns a line round."""

import unicodedata

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters, format characters (right-to-left overrides), surrogates, line ends."""
_JOINERS = "\u200c\u200d"
"""Format characters that several scripts are written with."""


def visible(text: str) -> str:
    """`text` with every character that is not shown but acted on written as its escape, `\\x1b` or `\\u202e`.

    Line ends are among them: what was one name stays in one line.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _STEERING and c not in _JOINERS else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
