"""An order that is spread out: any beginning of it covers the whole evenly, and a longer one fills the gaps."""

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import count

_MASK = 0xFFFFFFFF
_MIX = (0x6C50B47C, 0xB82F1E52, 0xC7AFE638, 0x8D22F6E6)


def fractions(seed: str) -> Iterator[float]:
    """Endless places in [0, 1): van der Corput's sequence, scrambled by the seed.

    Of the first 2^m places each 2^m-th part of the whole holds one, somewhere in it; so no gap among the first k is
    longer than 4/k, and two seeds have places in common only by chance. Good for 2^32 places.
    Source: Owen 1995; the scrambling by a hash is Burley's (JCGT 9(4), 2020).
    """
    key = random.Random(seed).getrandbits(32)
    return (_reversed(_scrambled(k, key)) / 2**32 for k in count())


def _scrambled(k: int, key: int) -> int:
    """A permutation of 32-bit numbers in which no bit depends on a higher one (Laine and Karras)."""
    k = (k + key) & _MASK
    for factor in _MIX:
        k ^= (k * factor) & _MASK
    return k


def _reversed(bits: int) -> int:
    return int(f"{bits:032b}"[::-1], 2)


def nearest(free: Sequence[int], wanted: int) -> int:
    """Where in an ascending list that is not empty the number nearest to `wanted` stands, the smaller of two."""
    at = bisect_left(free, wanted)
    if at == len(free) or (at and wanted - free[at - 1] <= free[at] - wanted):
        at -= 1
    return at
