"""What a model reached: next-token loss on held-out text, and retrieval by number of pairs or documents."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repflow.core import Example, NotEnoughData
from repflow.engines import Progress
from repflow.models import Loaded
from repflow.models.compiled import compiled_scans
from repflow.models.generation import greedy
from repflow.tasks import KvprTask, MdqaTask, kvpr_correct, mdqa_correct
from repflow.tasks.files import blocks, shipped
from repflow.training.zoo.corpus import held_out_text
from repflow.training.zoo.recipes import POSITIONS

PAIRS = (4, 8, 16, 32)
DOCUMENTS = (2, 3, 5)
EXAMPLES = 60
SEED = 1
GATE = "kvpr, words before the question"
RETRIEVES = 0.8
"""Share of right answers at the gate above which a model is said to retrieve."""
_WORDS = ("river", "lamp", "stone", "cloud", "garden", "window", "paper", "bridge")
_NEW_TOKENS = 24
_ROWS = 2


@dataclass(frozen=True, slots=True)
class TextLoss:
    """Next-token loss on a text, read in pieces of the trained context."""

    nats: float
    """Per token."""
    bits_per_byte: float
    """Comparable between tokenizers."""
    unigram_nats: float
    """What the best guess that ignores the context would lose: the entropy of the tokens' frequencies in this text."""
    tokens: int


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Share of right answers over `examples` prompts of `items` pairs or documents each."""

    task: str
    items: int
    right: int
    examples: int

    @property
    def accuracy(self) -> float:
        return self.right / self.examples

    @property
    def interval(self) -> tuple[float, float]:
        """95%, by Wilson (1927)."""
        return wilson(self.right, self.examples)


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95% score interval of a share."""
    z = 1.959964
    centre = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(right * (n - right) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def text_loss(subject: Loaded, data: Path, split: str, progress: Progress) -> TextLoss:
    """The loss on wikitext-2. Raises as `held_out_pieces` does."""
    pieces = held_out_pieces(subject.tokenizer, data, split)
    return _loss(subject, pieces, f"wikitext-2 {split}", progress)


def prose_loss(subject: Loaded, progress: Progress) -> TextLoss:
    """The loss on the prose that comes with the package, which no model was trained on and needs no data folder."""
    return _loss(subject, _pieces(subject.tokenizer, "".join(blocks(shipped("prose.txt")))), "prose", progress)


def _loss(subject: Loaded, pieces: torch.Tensor, title: str, progress: Progress) -> TextLoss:
    """Every piece's first token has no prediction."""
    progress.begin(f"{subject.facts.label} on {title}", len(pieces), "piece")
    total = 0.0
    with compiled_scans(subject.model):
        for chunk in pieces.split(_ROWS):
            total += _summed_loss(subject, chunk)
            progress.advance(len(chunk), chunk.numel())
    targets = pieces[:, 1:]
    read = len(subject.tokenizer.decode(targets.flatten()).encode())
    nats = total / targets.numel()
    return TextLoss(nats, total / math.log(2) / read, unigram_entropy(targets.numpy()), targets.numel())


def held_out_pieces(tokenizer: Any, data: Path, split: str) -> torch.Tensor:
    """The text of wikitext-2 as token ids [pieces, 1,024]; a short last piece is left out.

    Raises BadFile where the text is absent, NotEnoughData where it is shorter than a piece.
    """
    pieces = _pieces(tokenizer, held_out_text(data, split))
    if not len(pieces):
        raise NotEnoughData(f"wikitext-2 {split} is shorter than one piece of {POSITIONS} tokens; add text to it")
    return pieces


def _pieces(tokenizer: Any, text: str) -> torch.Tensor:
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    rows = len(ids) // POSITIONS
    return torch.tensor(ids[: rows * POSITIONS], dtype=torch.int64).view(rows, POSITIONS)


@torch.no_grad()
def _summed_loss(subject: Loaded, ids: torch.Tensor) -> float:
    ids = ids.to(subject.device)
    logits = subject.model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"))


def unigram_entropy(ids: np.ndarray) -> float:
    """Entropy in nats of the tokens' frequencies: the loss of the best prediction that ignores the context."""
    counts = np.unique(ids, return_counts=True)[1]
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())


def retrieval(subject: Loaded, progress: Progress) -> list[Retrieval]:
    """Accuracy of greedy answers: generated keys of 4 digits, and the package's own documents."""
    tasks = [("kvpr", n, KvprTask(keys="hex4", items=n)) for n in PAIRS]
    tasks += [("mdqa", n, MdqaTask(items=n)) for n in DOCUMENTS]
    return [gate(subject, progress), *(_answered(subject, name, items, task, progress) for name, items, task in tasks)]


def gate(subject: Loaded, progress: Progress) -> Retrieval:
    """Answers with two pairs when 3 to 5 other words stand between them and the question.

    A model that only says the last value again, or what stood beside the last key, is right half of the time.
    """
    return _answered(subject, GATE, 2, _Apart(KvprTask(keys="hex4", items=2)), progress)


def retrieves(found: Sequence[Retrieval]) -> bool | None:
    """Whether a model passes the gate, so that it may be said to retrieve; None where that was not measured."""
    tried = [r for r in found if r.task == GATE]
    return all(r.accuracy > RETRIEVES for r in tried) if tried else None


@dataclass(frozen=True, slots=True)
class _Apart:
    """The task's prompts with words before the question."""

    task: KvprTask

    def build(self, tokenizer: Any, *, n: int, context: int, seed: int) -> list[Example]:
        rng = random.Random(f"repflow gate {seed}")
        return [
            self._apart(example, tokenizer, rng)
            for example in self.task.build(tokenizer, n=n, context=context, seed=seed)
        ]

    def _apart(self, example: Example, tokenizer: Any, rng: random.Random) -> Example:
        object_, mark, question = tokenizer.decode(example.ids).rpartition("}\n\n")
        between = " ".join(rng.choices(_WORDS, k=rng.randint(3, 5)))
        text = f"{object_}{mark}{between}\n\n{question}"
        return replace(example, ids=tuple(tokenizer(text, add_special_tokens=False)["input_ids"]))


def _answered(subject: Loaded, name: str, items: int, task: Any, progress: Progress) -> Retrieval:
    room = POSITIONS - _NEW_TOKENS
    examples: list[Example] = task.build(subject.tokenizer, n=EXAMPLES, context=room, seed=SEED)
    progress.begin(f"{subject.facts.label} on {name} with {items}", len(examples))
    said = greedy(subject, [example.ids for example in examples], new_tokens=_NEW_TOKENS)
    progress.advance(len(examples), sum(len(example.ids) for example in examples))
    right = mdqa_correct if name == "mdqa" else kvpr_correct
    score = sum(right(text.lstrip(), example) for text, example in zip(said, examples, strict=True))
    return Retrieval(name, items, score, len(examples))


def learnt_to_retrieve(found: Sequence[Retrieval]) -> list[Retrieval]:
    """Where the interval lies above the chance of naming one of the items at random."""
    return [r for r in found if r.interval[0] > 1 / r.items]
