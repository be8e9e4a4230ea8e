"""The order in which the zoo's models see their data: a pure function of the seed and the row's number."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repflow.core import BadSetting, unknown
from repflow.training.zoo.curriculum import DIVIDED, KINDS, Span
from repflow.training.zoo.episodes import Episode, Write, echo_episode, object_episode, prompt_episode
from repflow.training.zoo.rows import Alphabet, Row, pairs, previous

IGNORED = -100
_PIECE = 1024


@dataclass(frozen=True)
class TextPieces:
    """All texts as one endless stream of tokens: pieces of 1,024, in a new random order each time round."""

    ids: np.ndarray
    seed: int
    _orders: dict[int, np.ndarray] = field(default_factory=dict[int, np.ndarray])

    @property
    def n_pieces(self) -> int:
        return max(1, len(self.ids) // _PIECE)

    def take(self, start: int, length: int) -> np.ndarray:
        """Tokens [start, start + length) of the stream."""
        size = min(_PIECE, len(self.ids))
        places = np.arange(start, start + length)
        rounds, within = np.divmod(places // size, self.n_pieces)
        pieces = [self._order(int(turn))[int(at)] for turn, at in zip(rounds, within, strict=True)]
        return self.ids[np.asarray(pieces) * size + places % size]

    def _order(self, turn: int) -> np.ndarray:
        if turn not in self._orders:
            self._orders[turn] = np.random.default_rng([self.seed, turn]).permutation(self.n_pieces)
        return self._orders[turn]


class ZooStream(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Item i is the batch of step i: `input_ids` and `labels` [rows, length], and `asked` [rows].

    Of text and documents every token but the row's first has a label, of other rows the answers have; `asked` says
    which rows these are.
    """

    def __init__(self, tokenizer: Any, text: TextPieces, documents: Write, *, plan: Sequence[Span], seed: int) -> None:
        for span in plan:
            if span.stage.batch_tokens % span.stage.length:
                raise BadSetting(
                    f"a batch of {span.stage.batch_tokens} tokens does not hold whole rows of {span.stage.length}; "
                    "change --batch-tokens or --lengths"
                )
        self._tokenizer = tokenizer
        self._alphabet = Alphabet.of(tokenizer)
        self._text = text
        self._documents = documents
        self._plan = list(plan)
        self._seed = seed

    def __len__(self) -> int:
        return self._plan[-1].last

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        span = next(span for span in self._plan if step < span.last)
        first = (step - span.first) * span.rows
        made = [self._row(span, first + i) for i in range(span.rows)]
        ids = torch.from_numpy(np.stack([row.ids for row in made]).astype(np.int64))
        learnt = torch.from_numpy(np.stack([row.learnt for row in made]))
        return {
            "input_ids": ids,
            "labels": ids.where(learnt, torch.tensor(IGNORED)),
            "asked": torch.tensor([row.asked for row in made]),
        }

    def kind(self, span: Span, number: int) -> str:
        """What row `number` of this span holds: `text` or one of the stage's kinds."""
        stage = span.stage
        if _texts_until(number + 1, stage.text) > _texts_until(number, stage.text):
            return "text"
        return self._rng(span, number).choices(list(stage.rows), weights=list(stage.rows.values()))[0]

    def _rng(self, span: Span, number: int) -> random.Random:
        before = sum(
            (earlier.last - earlier.first) * earlier.rows for earlier in self._plan if earlier.last <= span.first
        )
        return random.Random(f"repflow zoo {self._seed} {before + number}")

    def _row(self, span: Span, number: int) -> "_Row":
        length, most = span.stage.length, span.stage.pairs
        name = self.kind(span, number)
        if name == "text":
            return _all_learnt(self._text.take(self._text_before(span, number), length))
        rng = random.Random(self._rng(span, number).getrandbits(64))
        kind, divided = name.removesuffix(DIVIDED), name.endswith(DIVIDED)
        if kind == "documents":
            return _all_learnt(np.asarray(self._packed(lambda: self._documents(rng, length), length)[0]))
        ids, learnt = self._asking(kind, divided, rng, length, most)
        learnt[0] = False
        return _Row(np.asarray(ids), np.asarray(learnt), True)

    def _asking(self, kind: str, divided: bool, rng: random.Random, length: int, most: int) -> Row:
        match kind:
            case "pairs" | "gaps":
                return pairs(self._alphabet, rng, length, most, divided, gap=2 if kind == "gaps" else 0)
            case "previous":
                return previous(self._alphabet, rng, length)
            case "behind":
                return previous(self._alphabet, rng, length, self._alphabet.behind)
            case "echo":
                return self._packed(lambda: echo_episode(rng, length), length)
            case "object":
                return self._packed(lambda: object_episode(rng, length, most, divided), length)
            case "prompt" | "prompt4":
                style = "one" if kind == "prompt" else "hex4"
                return self._packed(lambda: prompt_episode(rng, length, most, divided, style), length)
            case _:
                raise unknown("kind of row", kind, KINDS)

    def _text_before(self, span: Span, number: int) -> int:
        """Tokens of text in the rows before this one."""
        earlier = [part for part in self._plan if part.last <= span.first]
        before = sum(_texts_until((p.last - p.first) * p.rows, p.stage.text) * p.stage.length for p in earlier)
        return before + _texts_until(number, span.stage.text) * span.stage.length

    def _packed(self, write: Callable[[], Episode], length: int) -> Row:
        """Episodes one after the other until the row is full."""
        ids: list[int] = []
        learnt: list[bool] = []
        while len(ids) < length:
            encoded = self._encode(write())
            ids += encoded[0]
            learnt += encoded[1]
        return ids[:length], learnt[:length]

    def _encode(self, episode: Episode) -> Row:
        """The episode's tokens and an end of text; a token is learnt that has a learnt character."""
        encoded = self._tokenizer(
            episode.text, return_offsets_mapping=True, add_special_tokens=False, return_attention_mask=False
        )
        marked = np.zeros(len(episode.text) + 1, bool)
        for start, end in episode.learnt:
            marked[start:end] = True
        learnt = [bool(marked[start:end].any()) for start, end in encoded["offset_mapping"]]
        return [*encoded["input_ids"], self._tokenizer.eos_token_id], [*learnt, False]


@dataclass(frozen=True, slots=True)
class _Row:
    ids: np.ndarray
    """[length]."""
    learnt: np.ndarray
    """[length], bool."""
    asked: bool
    """Whether what is learnt are answers."""


def _all_learnt(ids: np.ndarray) -> _Row:
    learnt = np.ones(len(ids), bool)
    learnt[0] = False
    return _Row(ids, learnt, False)


def _texts_until(row: int, in_a_hundred: int) -> int:
    """Rows of text among the first `row` rows."""
    return row * in_a_hundred // 100
