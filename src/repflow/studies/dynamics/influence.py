"""The influence of one subject on one task, a batch of examples at a time, each batch kept."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from repflow.core import Example, ModelProblem
from repflow.engines import Keeper, Progress, Reader
from repflow.engines.shard import batches
from repflow.models import Loaded
from repflow.studies.dynamics.settings import DynamicsMeasureSettings
from repflow.studies.dynamics.ssm.influence import Probing, influence_squares, sampled_tokens
from repflow.studies.kit.progress import told_time
from repflow.studies.kit.record import Reading

GRAPH = 4
"""How many times fewer tokens than a forward pass a batch holds: its activations are kept for the gradients."""
STOP_SHARE = 0.01


@dataclass
class Influencing:
    """One reading of one subject."""

    key: str
    subject: Loaded
    reader: Reader
    reading: Reading
    chosen: DynamicsMeasureSettings
    keeper: Keeper
    progress: Progress
    warn: Callable[[str], None]
    seconds: float = 0.0

    @cached_property
    def probing(self) -> Probing:
        """What is sampled: distances below half the shortest example unless the settings name another."""
        lengths = [len(example.ids) for example in self.reading.examples]
        reach = self.chosen.max_distance or min(lengths) // 2 - 1
        if reach >= max(lengths):
            self.warn(f"{self._where}: influence is measured up to {max(lengths) - 1} tokens, as examples are short")
        return Probing(
            self.chosen.influence_tokens, self.chosen.directions, min(reach, max(lengths) - 1), self.chosen.seed
        )

    @property
    def counts(self) -> list[int]:
        """Tokens sampled of each example."""
        return [len(sampled_tokens(example, self.probing)) for example in self.reading.examples]

    def squares(self) -> np.ndarray:
        """float64 [n, distances], NaN where undefined.

        Raises ModelProblem for kernels without a backward pass, and when more than 1% of the examples are not finite.
        """
        chunks = list(batches(self.reading.examples, self.reader.batch_tokens // GRAPH, self.reader.lengths))
        self.progress.begin(f"{self.subject.facts.label}, influence", len(self.reading.examples))
        found: list[np.ndarray] = []
        begun: float | None = None
        for place, chunk in enumerate(chunks):
            before = time.perf_counter()
            squares, fresh = self._batch(chunk)
            if fresh and begun is None:
                begun = before
                left = (time.perf_counter() - before) * (len(chunks) - place - 1)
                self.progress.note(f"{self._where}: about {told_time(left)} more for its influence")
            found.append(squares)
            self.progress.advance(len(chunk), sum(len(example.ids) for example in chunk))
        return self._finite(np.concatenate(found))

    def _batch(self, examples: Sequence[Example]) -> tuple[np.ndarray, bool]:
        """The batch's squares, and whether they were measured now."""
        key = f"{self.key}/influence/{examples[0].id:06d}-{examples[-1].id:06d}"
        part = self.keeper.read_part(key)
        if part is not None:
            self.seconds += part[1]["seconds"]
            return part[0]["squares"], False
        begun = time.perf_counter()
        squares = influence_squares(self.subject, examples, self.probing)
        spent = time.perf_counter() - begun
        self.keeper.save_part(key, {"squares": squares}, {"seconds": spent})
        self.seconds += spent
        return squares, True

    def _finite(self, squares: np.ndarray) -> np.ndarray:
        """Without the examples whose gradients are not finite at a distance they are long enough for."""
        last = np.array([sampled_tokens(example, self.probing).max() for example in self.reading.examples])
        reached = np.arange(squares.shape[1]) <= last[:, None]
        broken = np.any(reached & ~np.isfinite(squares), axis=1)
        if broken.sum() > STOP_SHARE * len(squares):
            first = self.reading.examples[int(broken.argmax())].id
            raise ModelProblem(
                f"{self._where}: non-finite gradients in {int(broken.sum())} of {len(squares)} examples, first in "
                f"example {first}; try --dtype float32, or leave influence out with --influence-tokens 0"
            )
        for row in np.flatnonzero(broken):
            self.warn(f"{self._where}: example {self.reading.examples[row].id} left out, non-finite gradients")
        return np.where(broken[:, None], np.nan, squares)

    @property
    def _where(self) -> str:
        return f"{self.subject.facts.label}, {self.reading.assignment.title}"
