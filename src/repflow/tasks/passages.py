"""Questions with their passages, from a published file or the corpus that comes with the package."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from repflow.core import BadFile
from repflow.tasks.files import need_fields, records
from repflow.tasks.scoring import holds_answer, normalise_answer

FIELDS = ("question", "answers", "ctxs")


@dataclass(frozen=True, slots=True)
class Passage:
    """A document of a prompt."""

    title: str
    text: str
    normalised: str
    """Title and text as answers are compared."""

    def holds_any(self, answers: Sequence[str], normalised: Sequence[str]) -> bool:
        """Whether it contains one of the answers, whose normalised forms are given beside them."""
        for answer, wanted in zip(answers, normalised, strict=True):
            if wanted in self.normalised if wanted else holds_answer(f"{self.title} {self.text}", answer):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its accepted answers, the passage that answers it, and the distractors that came with it."""

    question: str
    answers: tuple[str, ...]
    gold: Passage
    own: tuple[Passage, ...]


def read_questions(path: Path) -> list[Asked]:
    """All questions of a JSONL(.gz) file with `question, answers, ctxs`, in order.

    Raises BadFile for a line whose fields are missing or of another shape, or without a passage marked as gold.
    """
    return [_asked(path, number, record) for number, record in records(path)]


def _asked(path: Path, number: int, record: dict[str, Any]) -> Asked:
    need_fields(path, number, record, FIELDS)
    where = f"{path} line {number}"
    question, answers, contexts = record["question"], record["answers"], record["ctxs"]
    if not isinstance(question, str) or not question.strip():
        raise BadFile(f"{where}: question needs to be a text")
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise BadFile(f"{where}: answers needs to be a list of texts")
    answers = tuple(answer for answer in answers if answer.strip())
    if not answers:
        raise BadFile(f"{where}: answers needs to be a list with at least one text")
    if not isinstance(contexts, list) or not all(isinstance(c, dict) for c in contexts) or not contexts:
        raise BadFile(f"{where}: ctxs needs to be a list of passages")
    passages = [_passage(where, c) for c in cast(list[dict[str, Any]], contexts)]
    alone = len(contexts) == 1
    marked = [(_flag(where, c, "isgold", alone), _flag(where, c, "hasanswer", False)) for c in contexts]
    gold = [passage for passage, (is_gold, _) in zip(passages, marked, strict=True) if is_gold]
    if not gold:
        raise BadFile(f"{where}: no passage of ctxs has isgold true; one needs to be the gold one")
    others = [passage for passage, flags in zip(passages, marked, strict=True) if not any(flags)]
    return Asked(question.strip(), answers, gold[0], tuple(others))


def _flag(where: str, context: dict[str, Any], name: str, default: bool) -> bool:
    value = context.get(name, default)
    if not isinstance(value, bool):
        raise BadFile(f"{where}: {name} of a passage needs to be true or false, found {json.dumps(value)[:40]}")
    return value


def _passage(where: str, context: dict[str, Any]) -> Passage:
    title, text = context.get("title"), context.get("text")
    title = "" if title is None else title
    if not isinstance(text, str) or not text.strip() or not isinstance(title, str):
        raise BadFile(f"{where}: each passage of ctxs needs a text, and a title if any that is text")
    title, text = (" ".join(part.strip().splitlines()) for part in (title, text))
    return Passage(title, text, normalise_answer(f"{title} {text}"))


def distractors(asked: Asked, pool: Sequence[Asked], seed: str) -> list[Passage]:
    """What can stand beside a question's gold passage without answering it.

    The distractors that came with the question, in their order; where none did, the gold passages of the pool's other
    questions in an order fixed by `seed`. Left out: passages that contain an accepted answer, that were there before,
    or that bear the gold passage's title.
    """
    candidates = asked.own or _shuffled([other.gold for other in pool], seed)
    return list(_without(candidates, asked))


def _shuffled(passages: list[Passage], seed: str) -> list[Passage]:
    rng = random.Random(seed)
    keys = [rng.random() for _ in passages]
    return [passages[i] for i in sorted(range(len(passages)), key=keys.__getitem__)]


def _without(candidates: Sequence[Passage], asked: Asked) -> Iterator[Passage]:
    normalised = [normalise_answer(answer) for answer in asked.answers]
    seen = {asked.gold.text}
    for passage in candidates:
        same_page = not asked.own and passage.title == asked.gold.title
        if passage.text in seen or same_page or passage.holds_any(asked.answers, normalised):
            continue
        seen.add(passage.text)
        yield passage
