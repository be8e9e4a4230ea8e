"""What the zoo learns from: the texts and the questions of a data folder."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from repflow.core import BadFile, NotEnoughData
from repflow.tasks.files import blocks, records
from repflow.tasks.passages import Asked, read_questions

HELD_OUT = "wikitext-2"
"""The folder that is kept for evaluation."""
HELD_OUT_SHARE = 10
"""One question of so many is kept for evaluation."""
_GUTENBERG = re.compile(r"\*\*\* ?START OF TH.*?\*\*\*\n(?P<book>.*)\*\*\* ?END OF TH", re.DOTALL)
_QUESTION_FIELDS = {"question", "answers", "ctxs"}
_NOT_PROSE = ("license", "licence", "readme", "notice")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts to model and questions to answer; `files` says what was read, for the card."""

    texts: tuple[str, ...]
    questions: tuple[Asked, ...]
    held_out: tuple[Asked, ...]
    """Questions that no model of the zoo was trained on."""
    files: tuple[str, ...]
    sha256: str


def read_corpus(folder: Path) -> Corpus:
    """Every .txt file below `folder` as text, and every JSONL(.gz) of `question, answers, ctxs` as questions.

    Left out: the folder wikitext-2, licences and readmes, and the licence around Project Gutenberg's books. Of a
    question met twice the shorter passage is taken. Raises BadFile for a folder that is absent or has no text.
    """
    if not folder.is_dir():
        raise BadFile(f"there is no folder {folder}; --data needs the folder with the texts to train on")
    names = sorted(p for p in folder.rglob("*") if p.is_file() and HELD_OUT not in p.relative_to(folder).parts)
    prose = [p for p in names if p.suffix == ".txt" and not p.name.lower().startswith(_NOT_PROSE)]
    asked = [p for p in names if p.name.endswith((".jsonl", ".jsonl.gz")) and _holds_questions(p)]
    if not prose:
        raise BadFile(f"{folder} holds no .txt file to train on")
    texts = tuple(_text(path) for path in prose)
    questions = _questions(asked)
    digest = sha256("\0".join([*texts, *(q.question + q.gold.text for q in questions)]).encode()).hexdigest()
    kept = [question for question in questions if _is_held_out(question)]
    return Corpus(
        texts,
        tuple(question for question in questions if not _is_held_out(question)),
        tuple(kept),
        tuple(str(p.relative_to(folder)) for p in [*prose, *asked]),
        digest,
    )


def _text(path: Path) -> str:
    text = "".join(blocks(path))
    found = _GUTENBERG.search(text)
    # Hard-wrapped lines join up; paragraphs stay apart.
    return re.sub(r"(?<!\n)\n(?!\n)", " ", found["book"]).strip() if found else text.strip()


def _holds_questions(path: Path) -> bool:
    _, first = next(iter(records(path)))
    return first.keys() >= _QUESTION_FIELDS


def _questions(paths: list[Path]) -> list[Asked]:
    found: dict[str, Asked] = {}
    for path in paths:
        for asked in read_questions(path):
            known = found.get(asked.question)
            if known is None or len(asked.gold.text) < len(known.gold.text):
                found[asked.question] = asked
    return [found[question] for question in sorted(found)]


def _is_held_out(asked: Asked) -> bool:
    return int(sha256(asked.question.encode()).hexdigest(), 16) % HELD_OUT_SHARE == 0


def held_out_text(folder: Path, split: str) -> str:
    """The text of wikitext-2's `valid` or `test` split. Raises BadFile where it is absent."""
    return "".join(blocks(folder / HELD_OUT / f"{split}.txt"))


def tokenizer_texts(corpus: Corpus) -> Iterator[str]:
    """What the vocabulary is made from, in pieces."""
    for text in corpus.texts:
        yield from text.split("\n\n")
    for asked in corpus.questions:
        yield f"{asked.gold.title}\n{asked.gold.text}\n{asked.question}"


def need_tokens(corpus_tokens: int, needed: int) -> None:
    """Raises NotEnoughData for a corpus of less than one batch."""
    if corpus_tokens < needed:
        raise NotEnoughData(
            f"the texts hold {corpus_tokens} tokens, one batch takes {needed}; add text to --data or lower "
            "--batch-tokens"
        )
