"""The units of a text: stretches so long that what is measured on one says next to nothing about the next.

No model is asked. What a model makes of a text follows its style and topic, and how far these reach can be read from
the text itself: five statistics of cells of 1,024 characters, and the longest time that one of them stays like itself.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

CELL = 1024
"""Characters whose statistics are one point of the series."""
SURVEYED = 4096
"""Cells at the beginning of a source from which its autocorrelation is read."""
LEAST_BLOCKS = 8
"""A source of fewer independent blocks has no interval worth the name. A document of more than this part of its source
is cut into blocks; a shorter one is a block of its own."""
_TIMES = 2.0
"""Block length in autocorrelation times: neighbouring block means then correlate by about 0.15 at the most."""
_WINDOW = 5.0
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
    each, and one that makes up more than an eighth of the source is cut. Cost: about a second for 4 million characters.
    """
    length = max(CELL, round(_TIMES * correlation_length(text)))
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


def correlation_length(text: str) -> float:
    """Characters over which a text stays like itself: the longest integrated autocorrelation time of its statistics.

    At least one cell. Read from the first 4 million characters. Source of the estimate: Sokal 1997, with his window
    of five times.
    """
    cells = [text[i : i + CELL] for i in range(0, min(len(text), SURVEYED * CELL) - CELL + 1, CELL)]
    if len(cells) < 4:
        return float(CELL)
    return CELL * max(_time(series) for series in _statistics(cells).T)


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


def _time(series: Float64[np.ndarray, " n"]) -> float:
    """Integrated autocorrelation time: the largest 1 + 2 sum of rho(k) with k up to five times itself; at least 1."""
    n = len(series)
    centred = series - series.mean()
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(power)[: max(n // 2, 1)]
    if covariance[0] <= 1e-12 * max(1.0, float(np.square(series).sum())):
        return 1.0
    times = 2 * np.cumsum(covariance / covariance[0]) - 1
    enough = np.flatnonzero(np.arange(len(times)) >= _WINDOW * times)
    return max(1.0, float(times[: enough[0] + 1 if len(enough) else None].max()))
