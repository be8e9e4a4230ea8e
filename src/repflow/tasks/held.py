"""A source's text in memory: the whole of it, or an even part of one that is too large."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from jaxtyping import Int64

MOST = 1 << 26
"""Characters of a source that are held. Of a larger one every second stretch is kept, or every fourth, and so on."""
STRETCH = 1 << 20
"""Characters that are kept or left out together."""
CHUNK = 1 << 18
"""A text of up to so many characters is tokenised at once."""
_LEAST_CHUNK = 1 << 14
_CHUNK_OF_TOKENS = 32
_BREAKS = ("\n\n", "\n", " ")
BETWEEN = "\n\n"
"""What stands between two documents."""


@dataclass(frozen=True, slots=True)
class Held:
    """The text of one source."""

    text: str
    starts: Int64[np.ndarray, " documents"]
    """Where each document begins. A text without known documents is one."""
    seams: tuple[int, ...]
    """Where text was left out, the end of the text included."""
    characters: int
    """Of the source as it was read."""

    rows: bool
    """Whether the bounds of its documents are known."""

    def documents(self) -> list[tuple[int, int]]:
        """The documents [start, end) with more than white space; of a running text the parts between blank lines."""
        if not self.rows:
            return list(_paragraphs(self.text))
        ends = [*self.starts[1:].tolist(), len(self.text)]
        return list(zip(self.starts.tolist(), ends, strict=True))

    def chunks(self, context: int) -> list[tuple[int, int]]:
        """The text in stretches [start, end) that are tokenised by themselves, cut at fixed places.

        A text of up to `CHUNK` characters is one; a larger one is cut where a paragraph, a line or a word ends, into
        chunks of many pieces of `context` tokens.
        """
        size = CHUNK if len(self.text) <= CHUNK else max(_LEAST_CHUNK, _CHUNK_OF_TOKENS * context)
        bounds = [0]
        for seam in self.seams:
            while seam - bounds[-1] > size:
                bounds.append(_cut(self.text, bounds[-1], size))
            bounds.append(seam)
        return list(pairwise(bounds))


def hold_rows(documents: Iterable[str]) -> Held:
    """Documents of known bounds, joined by blank lines; those of white space alone are passed over."""
    stretches = _Stretches(rows=True)
    for document in documents:
        if document.strip():
            stretches.add(document + BETWEEN)
    return stretches.held()


def hold_text(parts: Iterable[str]) -> Held:
    """A running text that comes in parts."""
    stretches = _Stretches(rows=False)
    for part in parts:
        stretches.add(part)
    return stretches.held()


class _Stretches:
    """Takes text as it comes, and lets every second stretch go whenever there is too much."""

    def __init__(self, rows: bool) -> None:
        self.rows = rows
        self.kept: list[tuple[str, list[int]]] = []
        self.stride = 1
        self.closed = 0
        self.characters = 0
        self._parts: list[str] = []
        self._starts: list[int] = []
        self._size = 0

    def add(self, text: str) -> None:
        self._starts.append(self._size)
        self._parts.append(text)
        self._size += len(text)
        if self._size >= STRETCH:
            self._close()

    def _close(self) -> None:
        if self.closed % self.stride == 0:
            self.kept.append(("".join(self._parts), self._starts))
        self.closed += 1
        self.characters += self._size
        self._parts, self._starts, self._size = [], [], 0
        while len(self.kept) > 1 and sum(len(text) for text, _ in self.kept) > MOST:
            self.kept = self.kept[::2]
            self.stride *= 2

    def held(self) -> Held:
        if self._parts:
            self._close()
        ends = list(accumulate(len(text) for text, _ in self.kept))
        begun = zip([0, *ends], self.kept, strict=False)
        starts = [begin + start for begin, (_, starts) in begun for start in starts] if self.rows else []
        text = "".join(text for text, _ in self.kept)
        seams = ends[-1:] if self.stride == 1 else ends
        return Held(text, np.array(starts or [0], dtype=np.int64), tuple(seams), self.characters, self.rows)


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    begun = end = at = 0
    while at < len(text):
        stop = text.find("\n", at)
        stop = len(text) if stop < 0 else stop
        if text[at:stop].strip():
            begun = at if end <= begun else begun
            end = stop
        elif end > begun:
            yield begun, end
            begun = end = stop
        at = stop + 1
    if end > begun:
        yield begun, end


def _cut(text: str, start: int, size: int) -> int:
    """Where to cut: after the last paragraph, line or word that ends in the second half of `size`."""
    for mark in _BREAKS:
        at = text.rfind(mark, start + size // 2, start + size)
        if at >= 0:
            return at + len(mark)
    return start + size
