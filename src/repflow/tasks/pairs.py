"""Key-value pairs: generated ones, and those of the published files."""

import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from repflow.core import BadFile
from repflow.tasks.files import need_fields, records

Pair = tuple[str, str]
_HALF = 1 << 127
FIELDS = ("ordered_kv_records", "key", "value")

STYLES = ("uuid", "hex8", "hex4")
"""How generated keys and values are written, the longest first."""
_WRITE: dict[str, Callable[[int], str]] = {
    "uuid": lambda bits: str(uuid.UUID(int=bits, version=4)),
    "hex8": lambda bits: f"{bits >> 96:08x}",
    "hex4": lambda bits: f"{bits >> 112:04x}",
}
WORDS = "pairs"
"""The style whose keys and values are single tokens of the model's own tokenizer."""
MOST_PAIRS: dict[str, int] = {"uuid": 1 << 20, "hex8": 1 << 20, "hex4": 1 << 14}
"""Pairs one example can have at most: half of the four-digit strings, so that drawing new ones stays quick."""


@dataclass(frozen=True)
class PairStream:
    """Endless distinct keys and values of one example, drawn as far as they are asked for."""

    seed: str
    style: str
    words: tuple[str, ...] = ()
    """What keys and values are drawn from in the style `pairs`."""
    divided: bool = False
    """Draw keys and values from two sets that have nothing in common."""
    _drawn: list[Pair] = field(default_factory=list[Pair])
    _state: list[Iterator[str]] = field(default_factory=list[Iterator[str]])

    def first(self, n: int) -> list[Pair]:
        """The first n pairs; the first of them is the gold."""
        if not self._state:
            self._state.append(self._strings())
        strings = self._state[0]
        while len(self._drawn) < n:
            self._drawn.append((next(strings), next(strings)))
        return self._drawn[:n]

    def _strings(self) -> Iterator[str]:
        rng = random.Random(self.seed)
        seen: set[str] = set()
        for of_value in cycle((False, True)):
            while (text := self._draw(rng, of_value)) in seen:
                pass
            seen.add(text)
            yield text

    def _draw(self, rng: random.Random, of_value: bool) -> str:
        """Divided, every other word is a value's, and the first digit of a key is below 8."""
        if self.style == WORDS:
            return rng.choice(self.words[of_value::2] if self.divided else self.words)
        bits = rng.getrandbits(128)
        return _WRITE[self.style](bits % _HALF + of_value * _HALF if self.divided else bits)


def line_of(pair: Pair) -> str:
    """A pair as it stands in the JSON object."""
    return f"{quoted(pair[0])}: {quoted(pair[1])}"


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class KvRecord:
    """A published record: its gold pair and the others in their order."""

    gold: Pair
    others: list[Pair]


def read_pairs(path: Path) -> Iterator[KvRecord]:
    """The records of a published file, one at a time.

    Raises BadFile for a line whose fields are not those of key-value retrieval, or whose key is not exactly once
    among its pairs with the value it says.
    """
    for number, record in records(path):
        need_fields(path, number, record, FIELDS)
        yield _record(path, number, record)


def _record(path: Path, number: int, record: dict[str, Any]) -> KvRecord:
    key, value, pairs = record["key"], record["value"], record["ordered_kv_records"]
    well_formed = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs
    )
    if not well_formed:
        raise BadFile(f"{path} line {number}: ordered_kv_records needs to be a list of [key, value] pairs of strings")
    if not all(isinstance(text, str) and text.strip() for text in (key, value)):
        raise BadFile(f"{path} line {number}: key and value need to be texts that are not empty")
    keys = [pair[0] for pair in pairs]
    if len(set(keys)) < len(keys):
        raise BadFile(f"{path} line {number}: ordered_kv_records has a key twice; each needs to be unique")
    if [key, value] not in pairs:
        raise BadFile(f"{path} line {number}: the pair of key and value is not in ordered_kv_records")
    return KvRecord((key, value), [(k, v) for k, v in pairs if k != key])
