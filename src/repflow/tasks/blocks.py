"""The units of a text: stretches so long that what is measured on one says little about the next.

No model is asked. What a model makes of a text follows its style and topic, and how far these reach can be read from
the text itself: from five statistics of cells of 1,024 characters, and how the means of neighbouring blocks of such
cells correlate.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np
from jaxtyping import Float64, Int64

CELL = 1024
"""Characters whose statistics are one point of the series."""
SURVEYED = 4096
"""Cells at the beginning of a source from which its autocorrelation is read."""
LEAST_BLOCKS = 8
"""A source of fewer independent blocks has no interval worth the name. A document of more than this part of its source
is cut into blocks; a shorter one is a block of its own."""
ALIKE = 0.2
"""Correlation of neighbouring block means up to which blocks pass for independent."""
_WORD = re.compile(r"\w+")
_CAPITAL = re.compile("[A-ZÀ-ÖØ-ÞΑ-ΩЀ-Я]")
_MARK = re.compile(r"[^\w\s]")


@dataclass(frozen=True, slots=True)
class Blocks:
    """The units of a source: stretches of its text, one after the other."""

    ends: Int64[np.ndarray, " blocks"]
    """Where each ends, in characters."""
    length: int
    """Characters that make a block."""

    def at(self, position: float | int) -> int:
        """The block that holds a position, in characters from the beginning."""
        return int(min(np.searchsorted(self.ends, position, side="right"), len(self.ends) - 1))


def blocks_of(text: str, starts: Iterable[int] = (0,)) -> Blocks:
    """A source's text cut into blocks that are about independent of each other.

    `starts` is where its documents begin. Documents shorter than a block are taken together, longer ones are a block
    each, and one that makes up more than an eighth of the source is cut. Cost: under a second for 4 million characters.
    """
    length = block_length(text)
    bounds = [*starts, len(text)]
    ends: list[int] = []
    begun = 0
    for start, end in pairwise(bounds):
        if end - start > max(length, len(text) / LEAST_BLOCKS):
            ends += [start] if start > begun else []
            ends += np.linspace(start, end, (end - start) // length + 1).round().astype(int).tolist()[1:]
            begun = end
        elif end - begun >= length:
            ends.append(end)
            begun = end
    return Blocks(np.array([*ends[:-1], len(text)], dtype=np.int64), length)


def block_length(text: str) -> int:
    """Characters from which on the means of neighbouring blocks correlate by no more than 0.2.

    The correlation is the mean over those statistics that are autocorrelated at all (beyond two standard errors from
    cell to cell). Tried are the lengths of 1, 2, 3, 4, 6, 8, 12, ... cells that give at least 8 blocks; taken is the
    first of two running for which it holds, or, where the longest of them fails, the next. Read from the first 4
    million characters.
    """
    cells = [text[i : i + CELL] for i in range(0, min(len(text), SURVEYED * CELL) - CELL + 1, CELL)]
    if len(cells) < LEAST_BLOCKS:
        return CELL
    table = _statistics(cells)
    table = table[:, _neighbours_alike(table) > 2 / len(cells) ** 0.5]
    if not table.shape[1]:
        return CELL
    length = 1
    for tried, following in pairwise(_lengths()):
        blocks = len(cells) // tried
        means = table[: blocks * tried].reshape(blocks, tried, -1).mean(1)
        if blocks < LEAST_BLOCKS:
            break
        if _neighbours_alike(means).mean() > ALIKE:
            length = following
        elif length < tried:
            break
    return length * CELL


def _lengths() -> Iterator[int]:
    yield 1
    for power in count(1):
        yield 2**power
        yield 3 * 2 ** (power - 1)


def _neighbours_alike(table: Float64[np.ndarray, "rows columns"]) -> Float64[np.ndarray, " columns"]:
    """The correlation of each column with itself one row on; 0 for one that does not vary."""
    centred = table - table.mean(0)
    spread = np.square(centred).sum(0)
    varies = spread > 1e-12 * np.square(table).sum(0)
    return np.where(varies, (centred[1:] * centred[:-1]).sum(0) / np.where(varies, spread, 1.0), 0.0)


def _statistics(cells: list[str]) -> Float64[np.ndarray, "cells 5"]:
    """By cell: mean log frequency and mean length of its words, share of distinct words, of capitals and of marks."""
    words = [_WORD.findall(cell.lower()) for cell in cells]
    seen = Counter(word for row in words for word in row)
    table = np.zeros((len(cells), 5))
    for row, (cell, found) in enumerate(zip(cells, words, strict=True)):
        if found:
            table[row, 0] = np.mean(np.log([seen[word] for word in found]))
            table[row, 1] = sum(map(len, found)) / len(found)
            table[row, 2] = len(set(found)) / len(found)
        table[row, 3] = len(_CAPITAL.findall(cell)) / len(cell)
        table[row, 4] = len(_MARK.findall(cell)) / len(cell)
    return table
