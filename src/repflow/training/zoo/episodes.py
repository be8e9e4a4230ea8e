"""Prompts to learn retrieval from: as the tasks write them, but with many questions behind one context."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from repflow.tasks import kvpr, mdqa
from repflow.tasks.pairs import PairStream, line_of, quoted
from repflow.tasks.passages import Asked
from repflow.tasks.scoring import holds_answer

_PAIR_TOKENS = {"hex4": 10, "hex8": 14, "uuid": 50}
"""About what a pair takes in the zoo's vocabulary; decides how many there are."""
_STYLES_BY_LENGTH = ((256, ("hex4",)), (512, ("hex4", "hex4", "hex8")), (1 << 30, ("hex4", "hex8", "uuid")))
_WHOLE_PASSAGES_FROM = 512

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Episode:
    """A text and the character from which on its tokens are learnt."""

    text: str
    learnt_from: int


Write = Callable[[random.Random, int], Episode]
"""(generator, tokens) -> an episode that fills at least about so many tokens."""


def key_value_episode(rng: random.Random, tokens: int) -> Episode:
    """An object of pairs and questions about all of them, in turn. The pairs cannot be learnt, the answers can."""
    style = rng.choice(next(styles for below, styles in _STYLES_BY_LENGTH if tokens < below))
    each = _PAIR_TOKENS[style]
    most = max(2, round(0.55 * tokens / each))
    n = rng.randint(max(2, most // 4), most)
    pairs = PairStream(f"repflow zoo {rng.getrandbits(64)}", style).first(n)
    head = f"{kvpr.HEAD}{kvpr.SEPARATOR.join(line_of(pair) for pair in pairs)}}}\n\n"
    asked = _rounds(rng, pairs, tokens // each + 1)
    answers = "\n\n".join(f"{kvpr.question_about(key)} {quoted(value)}" for key, value in asked)
    return Episode(head + answers, len(head))


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
        return Episode(f"{mdqa.HEAD}{documents}\n\n{asking}", 0)

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
