"""Rows of single tokens that teach the steps of retrieval, before there are prompts to answer."""

import random
from dataclasses import dataclass
from typing import Any

HEX = "0123456789abcdef"
PIECES = tuple(a + b for a in HEX for b in HEX)
"""All strings of two hexadecimal digits: each is one token, and what keys and values are made of."""
FILLERS = 64
"""Tokens that stand between a key and its value in `gaps`."""

Row = tuple[list[int], list[bool]]
"""Token ids, and whether each is an answer."""


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The tokens that these rows are written with."""

    pieces: tuple[int, ...]
    """Of the 256 strings of two digits, in their order."""
    fillers: tuple[int, ...]
    behind: tuple[int, ...]
    """What stands between a key and a value in JSON."""

    @classmethod
    def of(cls, tokenizer: Any) -> "Alphabet":
        pieces = tokenizer.convert_tokens_to_ids(list(PIECES))
        fillers = [i for i in range(1, len(tokenizer)) if i not in set(pieces)][-FILLERS:]
        between = tokenizer(f'"{PIECES[0]}": "{PIECES[0]}"', add_special_tokens=False)["input_ids"]
        first, second = (i for i, token in enumerate(between) if token == pieces[0])
        return cls(tuple(pieces), tuple(fillers), tuple(between[first + 1 : second]))


def halves(alphabet: Alphabet, divided: bool, rng: random.Random, n: int) -> tuple[list[int], list[int]]:
    """n keys and n values, all different; `divided`: from one half of the pieces each."""
    if divided:
        middle = len(alphabet.pieces) // 2
        return rng.sample(alphabet.pieces[:middle], n), rng.sample(alphabet.pieces[middle:], n)
    drawn = rng.sample(alphabet.pieces, 2 * n)
    return drawn[:n], drawn[n:]


def pairs(alphabet: Alphabet, rng: random.Random, length: int, most: int, divided: bool, gap: int = 0) -> Row:
    """Keys with their values, then keys drawn with replacement whose values are the answers; up to `gap` between."""
    n = rng.randint(2, most)
    keys, values = halves(alphabet, divided, rng, n)
    ids: list[int] = []
    asked: list[bool] = []
    for turn, number in enumerate([*range(n), *rng.choices(range(n), k=length // 2)]):
        between = rng.choices(alphabet.fillers, k=rng.randint(0, gap))
        ids += [keys[number], *between, values[number]]
        asked += [*[False] * (len(between) + 1), turn >= n]
    return ids[:length], asked[:length]


def previous(alphabet: Alphabet, rng: random.Random, length: int, between: tuple[int, ...] = ()) -> Row:
    """x y x, over and over: the second x is the answer. `between` stands between x and y."""
    ids: list[int] = []
    asked: list[bool] = []
    while len(ids) < length:
        x, y = rng.sample(alphabet.pieces, 2)
        ids += [x, *between, y, x]
        asked += [*[False] * (len(between) + 2), True]
    return ids[:length], asked[:length]
