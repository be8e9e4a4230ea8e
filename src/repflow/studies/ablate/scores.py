"""What a model is worth, changed or not: its next-token loss and the answers it gets right, one number an example."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from repflow.core import Example
from repflow.engines import Keeper, Progress, Reader
from repflow.engines.losses import next_token_losses
from repflow.engines.shard import batches
from repflow.models import Loaded
from repflow.studies.kit.answering import CORRECT, speaker
from repflow.studies.kit.record import Reading

LOSS, ACCURACY = "next_token_loss", "answer_accuracy"


@dataclass(frozen=True)
class Score:
    """One number an example, [n], and how long they took."""

    metric: str
    variant: str
    values: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Scoring:
    """How the scores of one reading are found and kept."""

    key: str
    reader: Reader
    reading: Reading
    keeper: Keeper
    progress: Progress

    def loss(self) -> Score:
        """Nats a predicted token."""
        return self._kept(LOSS, "nats", lambda chunk: next_token_losses(self.reader, chunk))

    def accuracy(self, subject: Loaded, new_tokens: int, warn: Callable[[str], None]) -> Score:
        """1 for an answer that is right, 0 for one that is not."""
        assignment = self.reading.assignment
        speak = speaker(subject, assignment, self.reading.examples, new_tokens, warn)
        correct = CORRECT[assignment.task.name]

        def answered(chunk: list[Example]) -> np.ndarray:
            ids = torch.tensor([example.ids for example in chunk], device=self.reader.device)
            said = speak(ids, chunk)
            return np.array([float(correct(text, example)) for text, example in zip(said, chunk, strict=True)])

        return self._kept(ACCURACY, "greedy", answered)

    def _kept(self, metric: str, variant: str, find: Callable[[list[Example]], np.ndarray]) -> Score:
        """Found batch by batch, of examples of one length, or read where an earlier process has found it."""
        key = f"{self.key}/{metric}"
        part = self.keeper.read_part(key)
        if part is not None:
            return Score(metric, variant, part[0]["values"], part[1]["seconds"])
        begun = time.perf_counter()
        examples = self.reading.examples
        self.progress.begin(f"{self.reader.label}, {metric.replace('_', ' ')}", len(examples))
        found: dict[int, float] = {}
        for _, alike in groupby(sorted(examples, key=_length), _length):
            for chunk in batches(list(alike), self.reader.batch_tokens):
                found.update(zip((example.id for example in chunk), find(chunk).tolist(), strict=True))
                self.progress.advance(len(chunk), sum(map(_length, chunk)))
        values = np.array([found[example.id] for example in examples])
        seconds = time.perf_counter() - begun
        self.keeper.save_part(key, {"values": values}, {"seconds": seconds})
        return Score(metric, variant, values, seconds)


def _length(example: Example) -> int:
    return len(example.ids)
