"""Key-value pair retrieval (Liu et al. 2023, arXiv:2307.03172): find the value of one key among many pairs."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from repflow.core import BadSetting, Example, NotEnoughData, Tokenizer, unknown
from repflow.tasks.bos import WithBos
from repflow.tasks.files import sha256_of
from repflow.tasks.pairs import MOST_PAIRS, STYLES, WORDS, KvRecord, PairStream, line_of, quoted, read_pairs
from repflow.tasks.places import arrange, arrivals, check_places, places_of
from repflow.tasks.prompts import Prompt, Question, assemble, check_items, check_size
from repflow.tasks.words import single_tokens

INSTRUCTION = "Find the value that belongs to the given key in the JSON object below."
HEAD = f"{INSTRUCTION}\n\nJSON data:\n{{"
SEPARATOR = ",\n "
LEAST_PAIRS = 4
_TRIED = 8
_MARGIN = 1.05


@dataclass(frozen=True)
class KvprTask:
    """Prompts with a JSON object of unique keys and values and the question for one of the values.

    A prompt has the largest number of pairs that keeps it within the context, special tokens included, or all the
    pairs of a record when they take less; or exactly `items`. At least 4 pairs, and with `crossed` at least as many as
    positions.
    For one seed and tokenizer a smaller context's prompt is the larger one's with distractors removed, as long as
    both use the same style of keys. The unit of an example is its set of pairs, whichever of them it asks for.
    """

    data: str | None = None
    """A published JSONL(.gz) file with `ordered_kv_records, key, value`; None generates the pairs."""
    keys: str = "auto"
    """Generated keys and values: `uuid`, `hex8`, `hex4`; `auto` takes the longest of which 4 pairs fit; `pairs` draws
    them from the words that are one token of the tokenizer."""
    positions: int = 5
    """Number of evenly spaced places for the gold pair."""
    gold: int | None = None
    """The one place the gold is put at, from 0; None: each example takes the next."""
    crossed: bool = False
    """Every set of pairs once at every place: example id = group x positions + place."""
    items: int | None = None
    """Exactly so many pairs in every prompt, at least 2; None: as many as the context holds."""
    smallest: int | None = None
    """The context for which `auto` chooses, None for the one built: one choice keeps several contexts nested."""
    bos: bool = False
    """Begin every prompt with the tokenizer's BOS; else it begins as the tokenizer has it."""
    divided: bool = False
    """Draw generated keys and values from two sets that have nothing in common."""

    def __post_init__(self) -> None:
        check_places(self.positions, self.gold, self.crossed)
        check_items(self.items, self.positions, self.crossed)
        styles = ("auto", *STYLES, WORDS)
        if self.keys not in styles:
            raise unknown("style of keys", self.keys, styles)
        if self.data is not None and self.keys != "auto":
            raise BadSetting(f"keys {self.keys}: the keys come from {self.data}; leave one of the two out")
        if self.data is not None and self.divided:
            raise BadSetting(f"divided keys and values are generated, these come from {self.data}; leave one out")

    @property
    def name(self) -> str:
        return "kvpr"

    @property
    def least(self) -> int:
        """The smallest number of pairs in a prompt."""
        if self.items is not None:
            return self.items
        return max(LEAST_PAIRS, self.positions) if self.crossed else LEAST_PAIRS

    def build(self, tokenizer: Tokenizer, *, n: int, context: int, seed: int) -> list[Example]:
        """The first n examples. Raises NotEnoughData where the context or a record holds too few pairs."""
        check_size(n, context)
        words = self._words(tokenizer)
        tokenizer = WithBos(tokenizer) if self.bos else tokenizer
        if self.items is not None and self.items > context:
            raise NotEnoughData(
                f"a context of {context} tokens holds fewer pairs than items {self.items}; lower --items"
            )
        return list(islice(self._examples(tokenizer, context, seed, words), n))

    def _words(self, tokenizer: Tokenizer) -> tuple[str, ...]:
        """What keys and values of the style `pairs` are drawn from. Raises BadSetting for too few."""
        words = single_tokens(tokenizer) if self.keys == WORDS else ()
        if self.keys == WORDS and len(words) < 2 * self.least:
            raise BadSetting(
                f"items {self.least}: {len(words)} words are one token of this tokenizer and make {len(words) // 2} "
                "pairs at most; lower --items, or take other keys (keys=hex4)"
            )
        return words

    def _examples(self, tokenizer: Tokenizer, context: int, seed: int, words: tuple[str, ...]) -> Iterator[Example]:
        guess = self.least
        units: dict[Hashable, int] = {}
        for group, question in enumerate(self._questions(tokenizer, context, seed, words)):
            places = places_of(group, self.positions, self.gold, self.crossed)
            pairs = question.fit(tokenizer, context, places, least=self.least, guess=guess)
            if pairs < self.least:
                raise self._too_few(question, tokenizer, context, places)
            unit = group if question.unit is None else units.setdefault(question.unit, group)
            yield from question.examples(tokenizer, pairs, places, group, unit)
            guess = pairs

    def _questions(self, tokenizer: Tokenizer, context: int, seed: int, words: tuple[str, ...]) -> Iterator[Question]:
        if self.data is not None:
            return (self._recorded(record) for record in read_pairs(Path(self.data)))
        style = self._style(tokenizer, self.smallest or context, seed) if self.keys == "auto" else self.keys
        return (self._generated(style, seed, group, words) for group in count())

    def _style(self, tokenizer: Tokenizer, context: int, seed: int) -> str:
        for style in STYLES[:-1]:
            tried = (self._generated(style, seed, group) for group in range(_TRIED))
            if max(q.tokens(tokenizer, self.least, 0) for q in tried) * _MARGIN <= context:
                return style
        return STYLES[-1]

    def _generated(self, style: str, seed: int, group: int, words: tuple[str, ...] = ()) -> Question:
        stream = PairStream(f"repflow kvpr {seed} {group}", style, words, self.divided)

        def draw(pairs: int, place: int) -> Prompt:
            gold, *others = stream.first(pairs)
            return _prompt(*arrange(others, gold, place, self.positions))

        most = len(words) // 2 if style == WORDS else MOST_PAIRS[style]
        if self.items is not None and self.items > most:
            raise BadSetting(f"items {self.items}: there are {most} pairs of {style} keys at most; lower --items")
        return Question(draw, self.items or most, (stream.first(1)[0][1],))

    def _recorded(self, record: KvRecord) -> Question:
        others = arrivals(record.others, self.positions)

        def draw(pairs: int, place: int) -> Prompt:
            return _prompt(*arrange(others[: pairs - 1], record.gold, place, self.positions))

        most = len(others) + 1
        pairs = frozenset([record.gold, *record.others])
        return Question(draw, min(most, self.items or most), (record.gold[1],), pairs)

    def _too_few(
        self, question: Question, tokenizer: Tokenizer, context: int, places: tuple[int, ...]
    ) -> NotEnoughData:
        if question.most < self.least:
            return NotEnoughData(f"{self.data}: a record holds {question.most} pairs; kvpr needs {self.least}")
        held = question.fit(tokenizer, context, places, least=1, guess=1)
        needed = max(question.tokens(tokenizer, self.least, place) for place in places)
        shorter = "" if self.data or self.keys in ("auto", WORDS) else " or shorten the keys (keys=hex4)"
        return NotEnoughData(
            f"a context of {context} tokens holds {held} pairs; kvpr needs {self.least}, which take {needed} tokens; "
            f"raise --context{shorter}"
        )

    def describe(self) -> dict[str, Any]:
        """The settings, and the name and sha256 of the file, for run.json."""
        settings: dict[str, Any] = {"name": self.name, "positions": self.positions, "gold": self.gold}
        settings |= {"crossed": self.crossed, "items": self.items, "keys": self.keys, "bos": self.bos, "data": None}
        settings |= {"divided": True} if self.divided else {}
        if self.data is not None:
            settings["data"] = {"file": Path(self.data).name, "sha256": sha256_of(Path(self.data))}
        return settings


def _prompt(pairs: list[tuple[str, str]], gold: int) -> Prompt:
    tail = f"}}\n\n{question_about(pairs[gold][0])}"
    choices = tuple(f" {quoted(value)}" for _, value in pairs)
    return assemble(HEAD, [line_of(pair) for pair in pairs], SEPARATOR, tail, gold, choices)


def question_about(key: str) -> str:
    """The end of a prompt, which the value completes."""
    return f"Key: {quoted(key)}\nCorresponding value:"
