"""What every model of a lab reads, and what it is asked afterwards: the zoo's rows, in a curriculum of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repflow.training.zoo.corpus import Corpus, read_corpus, tokenizer_texts
from repflow.training.zoo.curriculum import DIVIDED, Span, Stage, spans
from repflow.training.zoo.run import VOCABULARY_SEED, stream_of, text_ids
from repflow.training.zoo.stream import IGNORED, ZooStream
from repflow.training.zoo.vocabulary import make_tokenizer

CURRICULUM = (
    Stage("A", 16, 0, {f"pairs{DIVIDED}": 3, "previous": 1}, 8, 64, 512),
    Stage(
        "B", 14, 0,
        {
            "gaps": 2, f"object{DIVIDED}": 2, f"prompt{DIVIDED}": 3, "object": 1, "prompt": 1, "behind": 0.5,
            "echo": 0.5,
        },
        5, 128, 1024,
    ),
    Stage("C", 14, 40, {"gaps": 1, "object": 2, "prompt": 2, "prompt4": 4, "echo": 0.5}, 8, 256, 2048, 0.75),
)  # fmt: skip
"""The zoo's first stages, then prompts among text."""
CONTEXT = CURRICULUM[-1].length
_FRESH = 2**31
"""Added to a seed: rows that no training has seen."""


@dataclass(frozen=True)
class Asked:
    """Fresh rows that a model is asked."""

    task: str
    context: int
    pairs: int
    """Most pairs of a row."""
    kind: str
    rows: int


ASKED = (
    Asked("pairs", 64, 8, "pairs", 32),
    Asked("kvpr", CONTEXT, 8, "prompt4", 32),
    Asked("kvpr", 2 * CONTEXT, 16, "prompt4", 16),
    Asked("text", CONTEXT, 2, "", 32),
)
"""Values of single tokens; kvpr at the longest trained context and at twice that; next tokens of text."""


@dataclass(frozen=True)
class Material:
    """The corpus and the tokenizer, once a process."""

    corpus: Corpus
    tokenizer: Any
    ids: np.ndarray
    """Of the corpus."""

    @classmethod
    def read(cls, data: Path) -> "Material":
        corpus = read_corpus(data)
        tokenizer = make_tokenizer(tokenizer_texts(corpus), VOCABULARY_SEED)
        return cls(corpus, tokenizer, text_ids(corpus, tokenizer))

    def plan(self, tokens: int) -> list[Span]:
        """The stages as steps."""
        return spans(CURRICULUM, tokens)

    def batches(self, tokens: int, seed: int) -> "Batches":
        """What every cell of this seed reads."""
        return self.of(self.plan(tokens), seed)

    def of(self, plan: Sequence[Span], seed: int) -> "Batches":
        """The batches of a plan."""
        return Batches(stream_of(self.corpus, self.ids, self.tokenizer, plan, seed))

    def fresh(self, asked: Asked, seed: int) -> dict[str, Tensor]:
        """`input_ids`, `labels` [rows, context]: rows of another seed than any training's; text is held-out text."""
        if not asked.kind:
            return self._text(asked)
        stage = Stage("asked", 1, 0, {asked.kind: 1}, asked.pairs, asked.context, asked.rows * asked.context)
        return stream_of(self.corpus, self.ids, self.tokenizer, [Span(0, 1, stage)], _FRESH + seed)[0]

    def _text(self, asked: Asked) -> dict[str, Tensor]:
        from repflow.tasks.files import blocks, shipped

        ids = self.tokenizer("".join(blocks(shipped("prose.txt"))), add_special_tokens=False, verbose=False)[
            "input_ids"
        ]
        rows = torch.tensor(ids[: asked.rows * asked.context]).view(-1, asked.context)
        return {"input_ids": rows, "labels": rows, "asked": torch.zeros(len(rows), dtype=torch.bool)}


class Batches:
    """The batches of a training by step; each is made once, since all cells of a seed read the same."""

    def __init__(self, stream: ZooStream) -> None:
        self._stream = stream
        self._made: dict[int, dict[str, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._stream)

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        if step not in self._made:
            self._made[step] = self._stream[step]
        return self._made[step]


def answers_right(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """Answers said rightly in every token, and all answers; an answer is a run of labelled tokens.

    `logits` [rows, t, vocabulary] of the tokens before `labels` [rows, t].
    """
    said = (logits.argmax(-1) == labels).cpu().numpy()
    asked = (labels != IGNORED).cpu().numpy()
    begins = asked & ~np.pad(asked, ((0, 0), (1, 0)))[:, :-1]
    number = np.cumsum(begins)
    wrong = np.unique(number[(asked & ~said).ravel()])
    return int(begins.sum()) - len(wrong), int(begins.sum())


@lru_cache(maxsize=1)
def material(data: Path) -> Material:
    """Read once a process."""
    return Material.read(data)
