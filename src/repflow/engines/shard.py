"""The one place where the stages meet: examples go through a tapped model into metric states."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from repflow.capture import Order, tapped
from repflow.core import Example, ModelProblem, RepflowError, Site, Tap
from repflow.core.boundary import one_line
from repflow.metrics import (
    Batch,
    Calibration,
    Metric,
    Moments,
    Options,
    Rooms,
    Session,
    SiteView,
    calibration_from,
    merge,
    merge_moments,
    moments,
    pad,
)
from repflow.models.positions import ALIKE, Lengths


@dataclass(frozen=True)
class Reader:
    """A model ready to be read: what to call, where to tap, which tokens are special."""

    label: str
    model: nn.Module
    forward: Callable[[Tensor], Any]
    """Runs the model on right-padded token ids [n, t], on `device`."""
    taps: tuple[Tap, ...]
    special_ids: tuple[int, ...]
    device: torch.device
    batch_tokens: int
    virtual: int = 0
    """States before each row's tokens that stand for none of them, as prompt tuning makes; they are not read."""
    advice: str = "try --dtype float32, or check the weights"
    """What to do when its states are not finite."""
    lengths: Lengths = ALIKE
    """Which rows may share a batch."""
    rooms: Rooms = field(default_factory=Rooms)
    """Working memory of the metrics, for all batches."""

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(tap.site for tap in self.taps)


@dataclass
class Clock:
    """Seconds spent, the model's and the metrics' apart. A GPU runs both at once: there only their sum is real."""

    forward: float = 0.0
    metrics: float = 0.0
    calibration: float = 0.0

    def __add__(self, other: "Clock") -> "Clock":
        return Clock(self.forward + other.forward, self.metrics + other.metrics, self.calibration + other.calibration)


def measure(
    reader: Reader,
    examples: Sequence[Example],
    metrics: Sequence[Metric],
    options: Options,
    calibration: Calibration | None,
) -> tuple[dict[str, Any], Clock]:
    """The metrics' states over a shard of examples, and the time it took.

    Raises ModelProblem when the model fails on a batch; names its examples.
    """
    states: dict[str, Any] | None = None
    clock = Clock()
    for chunk in batches(examples, reader.batch_tokens, reader.lengths):
        ids, batch = make_batch(reader, chunk, options)
        session = Session(metrics, batch, calibration, reader.rooms)
        timed = _Timed(session.see)
        run_tapped(reader, ids, timed.see, chunk)
        start = time.perf_counter()
        found = session.finish()
        states = found if states is None else merge(states, found)
        clock += Clock(timed.outside(), timed.inside + time.perf_counter() - start)
    assert states is not None, "a shard without examples"
    return states, clock


def calibrate(
    reader: Reader, examples: Sequence[Example], options: Options
) -> tuple[Calibration, list[tuple[int, int]]]:
    """Feature means and spreads at every site over the examples' tokens, special tokens and sinks left out.

    Also (example id, index of the first such site) of the examples with a non-finite state; from that site on they do
    not count.
    """
    per_site: list[Moments | None] = [None] * len(reader.taps)
    stopped: dict[int, int] = {}
    for chunk in batches(examples, reader.batch_tokens, reader.lengths):
        ids, batch = make_batch(reader, chunk, options)

        def take(site: Site, states: Tensor, batch: Batch = batch) -> None:
            view = SiteView(site, states.detach().float(), batch)
            bad = (~torch.isfinite(view.norm) & batch.real).any(1)
            for row in bad.nonzero()[:, 0].tolist():
                stopped.setdefault(batch.example_ids[row], site.index)
            alive = torch.tensor([example not in stopped for example in batch.example_ids], device=bad.device)
            found = moments(view.states, view.no_sink & alive[:, None])
            known = per_site[site.index]
            per_site[site.index] = found if known is None else merge_moments(known, found)

        run_tapped(reader, ids, take, chunk)
    return calibration_from([m for m in per_site if m is not None], reader.device), sorted(stopped.items())


def batches(examples: Sequence[Example], batch_tokens: int, lengths: Lengths = ALIKE) -> Iterator[list[Example]]:
    """Consecutive examples, as many as fit `batch_tokens` when padded to the longest; at least one.

    Rows that the model reads in other ways by their length never share a batch.
    """
    chunk: list[Example] = []
    width = 0
    for example in examples:
        wider = max(width, len(example.ids))
        full = wider * (len(chunk) + 1) > batch_tokens
        if chunk and (full or lengths.key(len(chunk[0].ids)) != lengths.key(len(example.ids))):
            yield chunk
            chunk, wider = [], len(example.ids)
        chunk.append(example)
        width = wider
    if chunk:
        yield chunk


def make_batch(reader: Reader, examples: Sequence[Example], options: Options) -> tuple[Tensor, Batch]:
    """Right-padded token ids on the reader's device, and the batch as the metrics see it."""
    ids, real = pad([example.ids for example in examples])
    special = torch.isin(ids, torch.tensor(reader.special_ids, dtype=torch.int64)) & real
    batch = Batch(
        tuple(example.id for example in examples),
        real.to(reader.device),
        special.to(reader.device),
        reader.sites,
        options,
        tuple(example.unit_id for example in examples),
    )
    return ids.to(reader.device), batch


def run_tapped(
    reader: Reader,
    ids: Tensor,
    sink: Callable[[Site, Tensor], None],
    examples: Sequence[Example],
    run: Callable[[Tensor], Any] | None = None,
) -> None:
    """Run the model on the examples' token ids, the sink at its sites; `run` in place of the bare forward pass.

    Raises ModelProblem, naming the examples, when the model fails; also when a bare pass leaves out a site, comes to
    one twice, or holds other than one state a token there.
    """
    failed: list[BaseException] = []
    order = Order(reader.taps)

    def once(site: Site, states: Tensor) -> None:
        order.take(site)
        sink(site, _tokens_only(reader, site, states, ids))

    def guarded(site: Site, states: Tensor) -> None:
        try:
            (sink if run else once)(site, states)
        except BaseException as error:
            failed.append(error)
            raise

    named = f"examples {examples[0].id}..{examples[-1].id} ({ids.shape[0]} x {ids.shape[1]} tokens)"
    try:
        with torch.inference_mode(), tapped(reader.model, reader.taps, guarded):
            (run or reader.forward)(ids)
        if run is None:
            order.end()
    except torch.OutOfMemoryError as error:
        raise ModelProblem(f"{reader.label}: out of memory on {named}; lower --batch-tokens or --context") from error
    except RepflowError:
        raise
    except Exception as error:
        if failed:  # ours, not the model's
            raise
        raise ModelProblem(f"{reader.label}: the forward pass failed on {named}: {one_line(error)}") from error


def _tokens_only(reader: Reader, site: Site, states: Tensor, ids: Tensor) -> Tensor:
    found = states[:, reader.virtual :]
    if found.shape[:2] != ids.shape:
        raise ModelProblem(
            f"{reader.label}: {site.name} holds states {list(states.shape[:2])} for token ids {list(ids.shape)}; "
            "measure a model that adds or merges tokens in your own loop, with repflow.watch"
        )
    return found


@dataclass
class _Timed:
    """A sink that knows how long it ran, and how long the pass around it took."""

    sink: Callable[[Site, Tensor], None]
    inside: float = 0.0
    begun: float = field(default_factory=time.perf_counter)

    def see(self, site: Site, states: Tensor) -> None:
        start = time.perf_counter()
        self.sink(site, states)
        self.inside += time.perf_counter() - start

    def outside(self) -> float:
        return time.perf_counter() - self.begun - self.inside
