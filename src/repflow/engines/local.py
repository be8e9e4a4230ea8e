"""The local engine: shards one after another in this process, a checkpoint after each, merged in order."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from repflow.core import Example, NonFinite
from repflow.engines.parts import from_part, to_part
from repflow.engines.shard import Clock, Reader, calibrate, measure
from repflow.metrics import Calibration, Counts, Metric, Options, merge

STOP_SHARE = 0.01
"""A run stops when more than this share of its examples turned non-finite."""


class Progress(Protocol):
    """Told of a run's course."""

    def note(self, line: str) -> None: ...

    def begin(self, title: str, total: int, unit: str = "example") -> None: ...

    def advance(self, done: int, tokens: int) -> None: ...


class Keeper(Protocol):
    """Keeps finished pieces of work by name, as `RunWriter` does."""

    def read_part(self, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None: ...

    def save_part(self, key: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None: ...


class Forgetful:
    """Keeps nothing: for work that is done in one go."""

    def read_part(self, key: str) -> None:
        del key

    def save_part(self, key: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        del key, arrays, meta


@dataclass(frozen=True)
class Outcome:
    """What a job gave."""

    states: dict[str, Any]
    clock: Clock
    uncalibrated: tuple[int, ...] = ()
    """Ids of calibration examples left out for non-finite states."""


@dataclass(frozen=True)
class Job:
    """One subject on one task at one context."""

    key: str
    """Names the job's checkpoint parts. It must change with whatever the states depend on besides the settings."""
    examples: tuple[Example, ...]
    calibration: tuple[Example, ...]
    metrics: tuple[Metric, ...]
    options: Options
    shard: int
    """Examples a shard: the piece of work between two checkpoints."""

    def shards(self) -> list[tuple[Example, ...]]:
        return [self.examples[i : i + self.shard] for i in range(0, len(self.examples), self.shard)]


def run_job(reader: Reader, job: Job, keeper: Keeper, progress: Progress) -> Outcome:
    """All shards' states merged in shard order. Shards that `keeper` already holds are read, not measured.

    Raises NonFinite when more than 1% of the examples had non-finite states; a shard that goes past it is not kept.
    """
    begun = time.perf_counter()
    calibration, uncalibrated = _calibration(reader, job, keeper)
    clock = Clock(calibration=time.perf_counter() - begun)
    states: dict[str, Any] | None = None
    stopped: list[tuple[int, int]] = []
    for examples in job.shards():
        key = f"{job.key}/{examples[0].id:06d}-{examples[-1].id:06d}"
        part = keeper.read_part(key)
        if part is not None:
            arrays, meta = part
            found, spent = from_part(job.metrics, arrays, meta["states"]), Clock(**meta["seconds"])
        else:
            found, spent = measure(reader, examples, job.metrics, job.options, calibration)
        counts: Counts = found["counts"]
        stopped += counts.stopped
        refuse_broken(reader, stopped, len(job.examples))
        if part is None:
            _keep(keeper, key, found, spent)
        clock += spent
        states = found if states is None else merge(states, found)
        progress.advance(len(examples), sum(len(example.ids) for example in examples))
    assert states is not None, "a job without examples"
    return Outcome(states, clock, uncalibrated)


def _keep(keeper: Keeper, key: str, states: dict[str, Any], clock: Clock) -> None:
    arrays, meta = to_part(states)
    keeper.save_part(key, arrays, {"states": meta, "seconds": {"forward": clock.forward, "metrics": clock.metrics}})


def _calibration(reader: Reader, job: Job, keeper: Keeper) -> tuple[Calibration | None, tuple[int, ...]]:
    """What standardises the sites, and the examples that could not be used for it."""
    if not job.calibration:
        return None, ()
    key = f"{job.key}/calibration"
    part = keeper.read_part(key)
    if part is not None:
        arrays, meta = part
        sites = range(len(reader.taps))
        means = tuple(torch.from_numpy(arrays[f"mean.{i}"]).to(reader.device) for i in sites)
        inverses = tuple(torch.from_numpy(arrays[f"inverse.{i}"]).to(reader.device) for i in sites)
        return Calibration(means, inverses), tuple(meta["left_out"])
    calibration, stopped = calibrate(reader, job.calibration, job.options)
    refuse_broken(reader, stopped, len(job.examples) + len(job.calibration))
    left_out = tuple(example for example, _ in stopped)
    arrays = {f"mean.{i}": mean.cpu().numpy() for i, mean in enumerate(calibration.means)}
    arrays |= {f"inverse.{i}": inverse.cpu().numpy() for i, inverse in enumerate(calibration.inverses)}
    keeper.save_part(key, arrays, {"left_out": list(left_out)})
    return calibration, left_out


def refuse_broken(reader: Reader, stopped: Sequence[tuple[int, int]], examples: int) -> None:
    """Raises NonFinite when more than 1% of the examples are among the stopped (example id, index of the site)."""
    if len(stopped) <= STOP_SHARE * examples:
        return
    example, site = stopped[0]
    raise NonFinite(
        f"{reader.label}: non-finite states in {len(stopped)} of {examples} examples, "
        f"first in example {example} at {reader.sites[site].name}; {reader.advice}"
    )
