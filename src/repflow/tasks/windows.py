"""Pieces of one source, drawn spread over the whole of it: none twice, the first k whatever the number wanted."""

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from repflow.core import Tokenizer
from repflow.tasks.sources import Source
from repflow.tasks.spread import fractions, nearest
from repflow.tasks.tokens import encode

Piece = tuple[tuple[int, ...], int]
"""Token ids and the block of the source that holds their middle."""

MOST_CHARS_A_TOKEN = 64


def windows(tokenizer: Tokenizer, source: Source, context: int, seed: str) -> Iterator[Piece]:
    """All pieces of `context` tokens of a source, without special tokens, in an order that is spread over it.

    Only the chunks of the text that the pieces asked for lie in are tokenised; a short last piece of each is dropped.
    """
    chunks = source.held.chunks(context)
    begins = [start for start, _ in chunks]
    unread = list(range(len(chunks)))
    read: dict[int, _Chunk] = {}
    for fraction in fractions(seed):
        position = fraction * len(source.held.text)
        piece = None
        while piece is None and unread:
            number = unread[at := nearest(unread, bisect_right(begins, position) - 1)]
            if number not in read:
                start, end = chunks[number]
                ids = encode(tokenizer, source.held.text[start:end], special=False)
                read[number] = _Chunk(np.array(ids, dtype=np.int64), start, end, context)
            piece = read[number].take(position)
            if not read[number].free:
                del unread[at], read[number]
        if piece is None:
            return
        yield tuple(piece[0].tolist()), source.blocks.at(piece[1])


class _Chunk:
    """The pieces of one chunk that have not been taken."""

    def __init__(self, ids: Int64[np.ndarray, " tokens"], start: int, end: int, context: int) -> None:
        self.ids = ids
        self.start, self.end = start, end
        self.context = context
        self.free = list(range(len(ids) // context))

    def take(self, position: float) -> tuple[Int64[np.ndarray, " context"], float] | None:
        """The ids of the free piece nearest to a position of the text, and where in the text its middle is."""
        if not self.free:
            return None
        token = (position - self.start) / (self.end - self.start) * len(self.ids)
        piece = self.free.pop(nearest(self.free, int(token // self.context)))
        middle = (piece + 0.5) * self.context / len(self.ids)
        ids = self.ids[piece * self.context : (piece + 1) * self.context]
        return ids, self.start + middle * (self.end - self.start)


def documents(tokenizer: Tokenizer, source: Source, context: int, least: int, seed: str) -> Iterator[Piece]:
    """The documents of a source, with the tokenizer's special tokens, cut to `context` tokens.

    Those of fewer than `least` tokens beside the special ones are passed over. A row of a dataset or file is a unit;
    a paragraph of a running text belongs to the block that holds its middle.
    """
    special = set(tokenizer.all_special_ids)
    spans = source.held.documents()
    free = list(range(len(spans)))
    for fraction in fractions(seed):
        wanted = int(fraction * len(spans))
        while free:
            number = free.pop(nearest(free, wanted))
            start, end = spans[number]
            text = source.held.text[start : min(end, start + context * MOST_CHARS_A_TOKEN)]
            ids = encode(tokenizer, text.rstrip() if source.held.rows else text, special=True)[:context]
            if sum(i not in special for i in ids) >= least:
                yield tuple(ids), number if source.held.rows else source.blocks.at((start + end) / 2)
                break
        if not free:
            return


def count_units(source: Source, packed: bool) -> int:
    """How many units the pieces of a source can have."""
    return len(source.held.starts) if source.held.rows and not packed else len(source.blocks.ends)
