"""Multi-document question answering (Liu et al. 2023, arXiv:2307.03172): one document among many has the answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from repflow.core import Example, NotEnoughData, Tokenizer
from repflow.tasks.bos import WithBos
from repflow.tasks.files import sha256_of, shipped
from repflow.tasks.passages import Asked, Passage, distractors, read_questions
from repflow.tasks.places import arrange, arrivals, check_places, places_of
from repflow.tasks.prompts import Prompt, Question, assemble, check_items, check_size

INSTRUCTION = "One of the documents below answers the question. Reply with the answer only, in a few words."
HEAD = f"{INSTRUCTION}\n\n"
LEAST_DOCUMENTS = 2
GIVES_UP = 100
"""Questions at the beginning of a file of which one has to fit the context."""


@dataclass(frozen=True)
class MdqaTask:
    """Prompts with numbered documents, one of which answers the question at the end.

    A prompt has the largest number of documents that keeps it within the context, special tokens included, or all
    there are when they take less; or exactly `items`. At least 2, and with `crossed` at least as many as positions.
    Questions whose passages are too long for that are passed over. A smaller context's prompt is the larger one's with
    distractors removed and the documents numbered anew. The unit of an example is its gold passage: questions that the
    same passage answers share it.
    """

    data: str | None = None
    """A JSONL(.gz) file with `question, answers, ctxs[title, text, isgold]`; None takes the corpus in the package.
    Questions without distractors of their own get other questions' gold passages."""
    positions: int = 5
    """Number of evenly spaced places for the gold document."""
    gold: int | None = None
    """The one place the gold is put at, from 0; None: each example takes the next."""
    crossed: bool = False
    """Every question once at every place: example id = group x positions + place."""
    items: int | None = None
    """Exactly so many documents in every prompt, at least 2; None: as many as the context holds."""
    bos: bool = False
    """Begin every prompt with the tokenizer's BOS; else it begins as the tokenizer has it."""

    def __post_init__(self) -> None:
        check_places(self.positions, self.gold, self.crossed)
        check_items(self.items, self.positions, self.crossed)

    @property
    def name(self) -> str:
        return "mdqa"

    @property
    def least(self) -> int:
        """The smallest number of documents in a prompt."""
        if self.items is not None:
            return self.items
        return max(LEAST_DOCUMENTS, self.positions) if self.crossed else LEAST_DOCUMENTS

    @property
    def path(self) -> Path:
        return Path(self.data) if self.data is not None else shipped("mdqa.jsonl")

    def build(self, tokenizer: Tokenizer, *, n: int, context: int, seed: int) -> list[Example]:
        """The first n examples. Raises NotEnoughData where none of the first 100 questions fits the context."""
        check_size(n, context)
        tokenizer = WithBos(tokenizer) if self.bos else tokenizer
        pool = read_questions(self.path)
        examples = list(islice(self._examples(pool, tokenizer, context, seed), n))
        if not examples:
            raise self._too_few(pool, tokenizer, context, seed)
        return examples

    def _examples(self, pool: list[Asked], tokenizer: Tokenizer, context: int, seed: int) -> Iterator[Example]:
        guess, group = self.least, 0
        units: dict[str, int] = {}
        for number in range(len(pool)):
            if group == 0 and number == GIVES_UP:
                return
            question = self._question(pool, number, seed)
            places = places_of(number, self.positions, self.gold, self.crossed)
            unit = units.setdefault(pool[number].gold.text, number)
            documents = question.fit(tokenizer, context, places, least=self.least, guess=guess)
            if documents >= self.least:
                yield from question.examples(tokenizer, documents, places, group, unit)
                guess, group = documents, group + 1

    def _question(self, pool: list[Asked], number: int, seed: int) -> Question:
        asked = pool[number]
        others = distractors(asked, pool, f"repflow mdqa {seed} {number}")
        if asked.own:
            others = arrivals(others, self.positions)

        def draw(documents: int, place: int) -> Prompt:
            shown, gold = arrange(others[: documents - 1], asked.gold, place, self.positions)
            return _prompt(asked.question, shown, gold)

        most = len(others) + 1
        return Question(draw, min(most, self.items or most), asked.answers)

    def _too_few(self, pool: list[Asked], tokenizer: Tokenizer, context: int, seed: int) -> NotEnoughData:
        questions = (self._question(pool, number, seed) for number in range(min(len(pool), GIVES_UP)))
        rich = [q for q in questions if q.most >= self.least]
        if not rich:
            return NotEnoughData(f"{self.path.name}: no question has {self.least} documents to choose from")
        needed = min(q.tokens(tokenizer, self.least, 0) for q in rich)
        held = max(q.fit(tokenizer, context, (0,), least=1, guess=1) for q in rich)
        return NotEnoughData(
            f"a context of {context} tokens holds no question with the {self.least} documents mdqa needs, which take "
            f"{needed} tokens or more; {held} fit: raise --context"
        )

    def describe(self) -> dict[str, Any]:
        """The settings, and the name and sha256 of the file, for run.json."""
        name = self.path.name if self.data is not None else f"built in: {self.path.name}"
        settings: dict[str, Any] = {"name": self.name, "positions": self.positions, "gold": self.gold}
        return settings | {
            "crossed": self.crossed,
            "items": self.items,
            "bos": self.bos,
            "data": {"file": name, "sha256": sha256_of(self.path)},
        }


def _prompt(question: str, passages: list[Passage], gold: int) -> Prompt:
    items = [document(i, p.title, p.text) for i, p in enumerate(passages, start=1)]
    return assemble(HEAD, items, "\n", f"\n\n{question_about(question)}", gold)


def document(number: int, title: str, text: str) -> str:
    """A document as it stands in the prompt."""
    return f"Document [{number}](Title: {title}) {text}"


def question_about(question: str) -> str:
    """The end of a prompt, which the answer completes."""
    return f"Question: {question}\nAnswer:"
