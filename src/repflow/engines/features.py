"""States at chosen places of the prompts, at every site, from one pass; and the answers, from that same pass."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from repflow.core import Example, ModelProblem, Site
from repflow.core.places import Place
from repflow.engines.shard import Reader, batches, run_tapped
from repflow.metrics import pad
from repflow.models.positions import Lengths

Speak = Callable[[Tensor, Sequence[Example]], list[str]]
"""Answers to examples of one length, whose token ids are [n, t]. Its first pass is over the whole prompts."""


@dataclass(frozen=True, eq=False)
class Read:
    """What a shard of examples gave, in their order."""

    states: np.ndarray
    """float32 [places, sites, n, width]."""
    answers: list[str]
    """Empty where none were asked for."""
    broken: list[tuple[int, int]]
    """(example id, index of the first site) where a state is not finite."""
    forward: float
    """Seconds up to the last site of the prompts."""
    answering: float
    """Seconds from there on."""


def read_states(
    reader: Reader, examples: Sequence[Example], places: Sequence[Place], width: int, speak: Speak | None = None
) -> Read:
    """The states of a shard, and what the model answers if `speak` is there.

    Prompts of one length share a batch when they are answered, unpadded; otherwise they are padded on the right, which
    no family here feels. Only the states at `places` are kept: the cost in memory is that of the model's own pass.
    Raises ModelProblem when the model fails on a batch; names its examples.
    """
    states = np.empty((len(places), len(reader.taps), len(examples), width), np.float32)
    answers: dict[int, str] = {}
    forward = answering = 0.0
    row_of = {example.id: row for row, example in enumerate(examples)}
    cut = batches if speak is None else _of_one_length
    for chunk in cut(examples, reader.batch_tokens, reader.lengths):
        rows = [row_of[example.id] for example in chunk]
        kept = np.empty((len(places), len(reader.taps), len(chunk), width), np.float32)
        picking = _Picking(reader, chunk, places, kept)
        said = _run(reader, chunk, picking, speak)
        ended = time.perf_counter()
        states[:, :, rows] = kept
        answers.update(zip(rows, said, strict=True) if speak else ())
        forward += picking.reached - picking.begun
        answering += ended - picking.reached if speak else 0.0
    told = [answers[row] for row in range(len(examples))] if speak else []
    return Read(states, told, _broken(states, examples), forward, answering)


def _run(reader: Reader, examples: Sequence[Example], picking: "_Picking", speak: Speak | None) -> list[str]:
    ids = pad([example.ids for example in examples])[0].to(reader.device)
    if speak is None:
        run_tapped(reader, ids, picking.see, examples)
        return []
    said: list[str] = []
    run_tapped(reader, ids, picking.see, examples, lambda tokens: said.extend(speak(tokens, examples)))
    return said


def _of_one_length(examples: Sequence[Example], batch_tokens: int, _: Lengths) -> Iterator[list[Example]]:
    """Batches of equal length, the shortest first, in the given order within a length."""
    lengths = sorted({len(example.ids) for example in examples})
    for length in lengths:
        yield from batches([example for example in examples if len(example.ids) == length], batch_tokens)


def _broken(states: np.ndarray, examples: Sequence[Example]) -> list[tuple[int, int]]:
    bad = ~torch.from_numpy(states).isfinite().all(-1).all(0)
    return [(examples[row].id, int(bad[:, row].int().argmax())) for row in bad.any(0).nonzero()[:, 0].tolist()]


@dataclass
class _Picking:
    """A sink that keeps the states at the places, of a pass over whole prompts, and drops the rest."""

    reader: Reader
    examples: Sequence[Example]
    places: Sequence[Place]
    kept: np.ndarray
    """[places, sites, n, width], made before the pass: small pieces made during it would lie between the model's large
    ones and keep the allocator from using their room again."""
    begun: float = field(default_factory=time.perf_counter)
    reached: float = 0.0
    """When the last site had been seen."""
    _seen: set[int] = field(default_factory=set[int])

    def __post_init__(self) -> None:
        wanted = [[place.token(example) for example in self.examples] for place in self.places]
        self._means = [i for i, tokens in enumerate(wanted) if None in tokens]
        self._tokens = torch.tensor([[token or 0 for token in tokens] for tokens in wanted], device=self.reader.device)

    def see(self, site: Site, states: Tensor) -> None:
        # Answers go on a token at a time, by the same modules.
        if site.index in self._seen:
            return
        n = len(self.examples)
        if states.shape[0] != n or states.shape[1] < max(len(example.ids) for example in self.examples):
            raise ModelProblem(
                f"{self.reader.label}: its first pass does not hold the whole prompts at {site.name}; use --no-generate"
            )
        picked = states.detach()[torch.arange(n, device=states.device), self._tokens].float()
        for i in self._means:
            for row, example in enumerate(self.examples):
                picked[i, row] = states[row, : len(example.ids)].mean(0, dtype=torch.float32)
        self._seen.add(site.index)
        self.kept[:, site.index] = picked.cpu().numpy()
        self.reached = time.perf_counter()
