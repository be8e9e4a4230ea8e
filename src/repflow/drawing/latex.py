"""Text for LaTeX."""

import re

_SPECIAL = {c: "\\" + c for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "~": r"\textasciitilde{}",
    # At the start of a row they would be read as arguments of the line end before it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "^": r"\textasciicircum{}",
    "·": r"\textperiodcentered{}",
    "×": r"$\times$",
    "…": r"\ldots{}",
}


def latex(text: object) -> str:
    """Text as LaTeX sets it literally, dashes apart; letters that its usual fonts lack as U+ and their number."""
    literal = "".join(_SPECIAL.get(character) or _letter(character) for character in str(text))
    return re.sub("-(?=-)", "-{}", literal)


def _letter(character: str) -> str:
    if character.isspace():
        return " "
    known = character.isprintable() and (character.isascii() or "À" <= character <= "ſ")
    return character if known else f"U+{ord(character):04X}"
