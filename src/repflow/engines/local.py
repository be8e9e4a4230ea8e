"""The local engine: shards one after another in this process, a checkpoint after each, merged in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import torch

from repflow.core import Example, ModelProblem
from repflow.engines.parts import from_part, to_part
from repflow.engines.shard import Clock, Reader, calibrate, measure
from repflow.metrics import Calibration, Counts, Metric, Options, merge
from repflow.store import RunWriter

STOP_SHARE = 0.01
"""A run stops when more than this share of its examples turned non-finite."""


class Progress(Protocol):
    """Told of a run's course."""

    def note(self, line: str) -> None: ...

    def begin(self, title: str, examples: int) -> None: ...

    def advance(self, examples: int, tokens: int) -> None: ...


@dataclass(frozen=True)
class Job:
    """One subject on one task at one context."""

    key: str
    """Names the job's checkpoint parts."""
    examples: tuple[Example, ...]
    calibration: tuple[Example, ...]
    metrics: tuple[Metric, ...]
    options: Options
    shard: int
    """Examples a shard: the piece of work between two checkpoints."""

    def shards(self) -> list[tuple[Example, ...]]:
        return [self.examples[i : i + self.shard] for i in range(0, len(self.examples), self.shard)]


def run_job(reader: Reader, job: Job, writer: RunWriter, progress: Progress) -> tuple[dict[str, Any], Clock]:
    """All shards' states merged in shard order. Shards that `writer` already holds are read, not measured.

    Raises ModelProblem when more than 1% of the examples had non-finite states.
    """
    calibration = _calibration(reader, job, writer)
    shards = job.shards()
    states: list[dict[str, Any]] = []
    clock = Clock()
    stopped: list[tuple[int, int]] = []
    for number, examples in enumerate(shards):
        found, spent = _shard(reader, job, writer, number, examples, calibration)
        clock += spent
        states.append(found)
        counts: Counts = found["counts"]
        stopped += counts.stopped
        _refuse_broken(reader, stopped, len(job.examples))
        progress.advance(len(examples), sum(len(example.ids) for example in examples))
    return reduce(merge, states), clock


def _shard(
    reader: Reader,
    job: Job,
    writer: RunWriter,
    number: int,
    examples: Sequence[Example],
    calibration: Calibration | None,
) -> tuple[dict[str, Any], Clock]:
    key = f"{job.key}/{number:04d}"
    if writer.has_part(key):
        arrays, meta = writer.load_part(key)
        return from_part(job.metrics, arrays, meta["states"]), Clock(**meta["seconds"])
    states, clock = measure(reader, examples, job.metrics, job.options, calibration)
    arrays, meta = to_part(states)
    writer.save_part(key, arrays, {"states": meta, "seconds": {"forward": clock.forward, "metrics": clock.metrics}})
    return states, clock


def _calibration(reader: Reader, job: Job, writer: RunWriter) -> Calibration | None:
    if not job.calibration:
        return None
    key = f"{job.key}/calibration"
    if writer.has_part(key):
        arrays, _ = writer.load_part(key)
        sites = range(len(reader.taps))
        means = tuple(torch.from_numpy(arrays[f"mean.{i}"]).to(reader.device) for i in sites)
        inverses = tuple(torch.from_numpy(arrays[f"inverse.{i}"]).to(reader.device) for i in sites)
        return Calibration(means, inverses)
    calibration = calibrate(reader, job.calibration, job.options)
    arrays = {f"mean.{i}": mean.cpu().numpy() for i, mean in enumerate(calibration.means)}
    arrays |= {f"inverse.{i}": inverse.cpu().numpy() for i, inverse in enumerate(calibration.inverses)}
    writer.save_part(key, arrays, {})
    return calibration


def _refuse_broken(reader: Reader, stopped: Sequence[tuple[int, int]], examples: int) -> None:
    if len(stopped) <= STOP_SHARE * examples:
        return
    example, site = stopped[0]
    raise ModelProblem(
        f"{reader.label}: non-finite states in {len(stopped)} of {examples} examples, first in example {example} "
        f"at {reader.sites[site].name}; try --dtype float32, or check the weights"
    )
