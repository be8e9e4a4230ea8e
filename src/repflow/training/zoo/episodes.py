"""Prompts to learn retrieval from: as the tasks write them, but with many questions behind one context."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from repflow.tasks import kvpr, mdqa
from repflow.tasks.pairs import Pair, PairStream, line_of, quoted
from repflow.tasks.passages import Asked
from repflow.tasks.scoring import holds_answer
from repflow.training.zoo.rows import PIECES

_WHOLE_PASSAGES_FROM = 512
_LINE = {"one": 8, "hex4": 10}
"""About what a pair takes in the zoo's vocabulary."""
_QUESTION = 12
"""Least tokens of a question and its answer."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Episode:
    """A text and which of its characters, from and up to, are learnt."""

    text: str
    learnt: tuple[tuple[int, int], ...]


Write = Callable[[random.Random, int], Episode]
"""(generator, tokens) -> an episode that fills at least about so many tokens."""


class _Writing:
    """A text that grows, with the places of its answers."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._learnt: list[tuple[int, int]] = []

    def add(self, text: str, learnt: bool = False) -> None:
        if learnt:
            self._learnt.append((self._length, self._length + len(text)))
        self._parts.append(text)
        self._length += len(text)

    def episode(self) -> Episode:
        return Episode("".join(self._parts), tuple(self._learnt))


def drawn_pairs(rng: random.Random, n: int, style: str, divided: bool) -> list[Pair]:
    """n pairs of different keys and values, of two digits (`one`) or four; `divided`: by their first digit."""
    if style == "hex4":
        return PairStream(f"repflow zoo {rng.getrandbits(64)}", style).first(n)
    middle = len(PIECES) // 2
    if divided:
        return list(zip(rng.sample(PIECES[:middle], n), rng.sample(PIECES[middle:], n), strict=True))
    drawn = rng.sample(PIECES, 2 * n)
    return list(zip(drawn[:n], drawn[n:], strict=True))


def object_episode(rng: random.Random, tokens: int, most: int, divided: bool) -> Episode:
    """A JSON object, then lines of it drawn with replacement; their values are learnt."""
    pairs = drawn_pairs(rng, rng.randint(2, most), "one", divided)
    writing = _Writing()
    writing.add(f"{{{kvpr.SEPARATOR.join(line_of(pair) for pair in pairs)}}}\n\n")
    for key, value in rng.choices(pairs, k=tokens // _LINE["one"] + 1):
        writing.add(f'{quoted(key)}: "')
        writing.add(value, learnt=True)
        writing.add(f'"{kvpr.SEPARATOR}')
    return writing.episode()


def prompt_episode(rng: random.Random, tokens: int, most: int, divided: bool, style: str) -> Episode:
    """The prompt of kvpr, every other time without its instruction, and questions drawn with replacement.

    The values are learnt, and of the first answer the quotes around it.
    """
    room = max(2, (tokens - 4 * _QUESTION) // _LINE[style])
    pairs = drawn_pairs(rng, rng.randint(2, max(2, min(most, room))), style, divided)
    writing = _Writing()
    writing.add(kvpr.HEAD if rng.random() < 0.5 else kvpr.HEAD.removeprefix(f"{kvpr.INSTRUCTION}\n\n"))
    writing.add(f"{kvpr.SEPARATOR.join(line_of(pair) for pair in pairs)}}}\n\n")
    for turn, (key, value) in enumerate(rng.choices(pairs, k=tokens // _QUESTION + 1)):
        writing.add(kvpr.question_about(key))
        writing.add(' "', learnt=turn == 0)
        writing.add(value, learnt=True)
        writing.add('"', learnt=turn == 0)
        writing.add("\n\n")
    return writing.episode()


def echo_episode(rng: random.Random, tokens: int) -> Episode:
    """Questions without an object, each answered by its own key."""
    writing = _Writing()
    for _ in range(tokens // _QUESTION + 1):
        key = "".join(rng.choices(PIECES, k=rng.randint(1, 2)))
        writing.add(f'{kvpr.question_about(key)} "')
        writing.add(key, learnt=True)
        writing.add('"\n\n')
    return writing.episode()


def document_episode(questions: Sequence[Asked]) -> Write:
    """Episodes of documents and questions about all of them. Everything is learnt: documents are text too."""

    def write(rng: random.Random, tokens: int) -> Episode:
        whole = tokens >= _WHOLE_PASSAGES_FROM
        passage = (lambda asked: asked.gold.text) if whole else _answering_sentence
        chosen: list[Asked] = []
        length = 0
        while length < 0.6 * tokens and len(chosen) < len(questions):
            asked = rng.choice(questions)
            if asked not in chosen:
                chosen.append(asked)
                length += len(passage(asked)) // 3
        documents = "\n".join(mdqa.document(i, a.gold.title, passage(a)) for i, a in enumerate(chosen, start=1))
        rounds = _rounds(rng, chosen, 2 * len(chosen) + 2)
        asking = "\n\n".join(f"{mdqa.question_about(a.question)} {a.answers[0]}" for a in rounds)
        text = f"{mdqa.HEAD}{documents}\n\n{asking}"
        return Episode(text, ((0, len(text)),))

    return write


def _rounds(rng: random.Random, items: Sequence[Item], count: int) -> list[Item]:
    """At least `count` items: all in a random order, again and again."""
    found: list[Item] = []
    while len(found) < count:
        found += rng.sample(items, len(items))
    return found


def _answering_sentence(asked: Asked) -> str:
    sentences = asked.gold.text.split(". ")
    return next((s for s in sentences if any(holds_answer(s, a) for a in asked.answers)), sentences[0])
