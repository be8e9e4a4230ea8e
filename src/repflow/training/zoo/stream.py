"""The order in which the zoo's models see their data: a pure function of the seed and the row's number."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repflow.core import BadSetting
from repflow.training.zoo.episodes import Episode, Write

CYCLE = "TKTMTKTKTM"
"""What the rows hold, over and over: text, key-value episodes, document episodes."""
IGNORED = -100
_PIECE = 1024


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps `first` to `last` (exclusive) of rows of `length` tokens."""

    first: int
    last: int
    length: int


def stages(steps: int, lengths: Sequence[int]) -> list[Stage]:
    """The steps shared evenly among growing lengths."""
    edges = [round(steps * i / len(lengths)) for i in range(len(lengths) + 1)]
    return [Stage(a, b, length) for a, b, length in zip(edges[:-1], edges[1:], lengths, strict=True) if b > a]


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
    """Item i is the batch of step i: `input_ids` and `labels` [rows, length], `batch_tokens` tokens in all.

    In episodes of keys and values only the
    questions and answers have labels; in all rows the first token has none.
    """

    def __init__(
        self,
        tokenizer: Any,
        text: TextPieces,
        episodes: dict[str, Write],
        *,
        plan: Sequence[Stage],
        batch_tokens: int,
        seed: int,
    ) -> None:
        for stage in plan:
            if batch_tokens % stage.length:
                raise BadSetting(
                    f"a batch of {batch_tokens} tokens does not hold whole rows of {stage.length}; change "
                    "--batch-tokens or --lengths"
                )
        self._tokenizer = tokenizer
        self._text = text
        self._episodes = episodes
        self._plan = list(plan)
        self._batch_tokens = batch_tokens
        self._seed = seed

    def __len__(self) -> int:
        return self._plan[-1].last

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        stage = next(stage for stage in self._plan if step < stage.last)
        rows = self._batch_tokens // stage.length
        first = self._rows_before(stage) + (step - stage.first) * rows
        made = [self._row(first + i, stage) for i in range(rows)]
        ids = torch.from_numpy(np.stack([ids for ids, _ in made]).astype(np.int64))
        learnt = torch.from_numpy(np.stack([learnt for _, learnt in made]))
        return {"input_ids": ids, "labels": ids.where(learnt, torch.tensor(IGNORED))}

    def _rows_before(self, stage: Stage) -> int:
        earlier = [s for s in self._plan if s.first < stage.first]
        return sum((s.last - s.first) * self._batch_tokens // s.length for s in earlier)

    def _row(self, number: int, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and whether each is learnt, both [length]."""
        kind = CYCLE[number % len(CYCLE)]
        if kind != "T":
            return self._episode(kind, number, stage.length)
        learnt = np.ones(stage.length, bool)
        learnt[0] = False
        return self._text.take(self._text_before(number), stage.length), learnt

    def _text_before(self, number: int) -> int:
        """Tokens of text in the rows before this one."""
        before = 0
        for stage in self._plan:
            start = self._rows_before(stage)
            end = min(number, start + (stage.last - stage.first) * self._batch_tokens // stage.length)
            if end > start:
                before += (_texts_until(end) - _texts_until(start)) * stage.length
        return before

    def _episode(self, kind: str, number: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        rng = random.Random(f"repflow zoo {self._seed} {number}")
        ids: list[int] = []
        learnt: list[bool] = []
        while len(ids) < length:
            encoded = self._encode(self._episodes[kind](rng, length))
            ids += encoded[0]
            learnt += encoded[1]
        learnt[0] = False
        return np.asarray(ids[:length]), np.asarray(learnt[:length])

    def _encode(self, episode: Episode) -> tuple[list[int], list[bool]]:
        """The episode's tokens and an end of text."""
        encoded = self._tokenizer(
            episode.text, return_offsets_mapping=True, add_special_tokens=False, return_attention_mask=False
        )
        learnt = [end > episode.learnt_from for _, end in encoded["offset_mapping"]]
        return [*encoded["input_ids"], self._tokenizer.eos_token_id], [*learnt, True]


def _texts_until(row: int) -> int:
    """Rows of text among the first `row` rows."""
    whole, rest = divmod(row, len(CYCLE))
    return whole * CYCLE.count("T") + CYCLE[:rest].count("T")
