"""Made-up passes through depth, and one call that measures them: what every test of the metrics starts from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from repflow.core import Site, sites_for
from repflow.metrics.batch import Batch, Options
from repflow.metrics.calibration import Calibration
from repflow.metrics.example_rows import Grams, example_cka
from repflow.metrics.headline import Course
from repflow.metrics.registry import METRICS, named
from repflow.metrics.session import Counts, Session, merge
from repflow.metrics.states import Means
from repflow.metrics.token_cka import HsicSums
from repflow.metrics.token_grams import GramBank

QUICK = Options(policies=("all", "no_special", "no_sink"), replicates=8)
EVERYTHING = tuple(METRICS)


@dataclass(frozen=True)
class Trajectory:
    """The states of n examples at every site of a made-up model, and which of their tokens are what."""

    sites: tuple[Site, ...]
    states: tuple[Tensor, ...]
    """One [n, t, d] a site."""
    real: Tensor
    special: Tensor
    ids: tuple[int, ...]

    def take(self, rows: Sequence[int], trim: bool = True) -> "Trajectory":
        """These examples; `trim` cuts the padding down to what they need, as a batch of them would have it."""
        index = torch.tensor(list(rows), dtype=torch.int64)
        real = self.real[index]
        width = int(real.sum(1).max()) if trim and len(index) else self.real.shape[1]
        return Trajectory(
            self.sites,
            tuple(s[index, :width].clone() for s in self.states),
            real[:, :width],
            self.special[index, :width],
            tuple(self.ids[i] for i in rows),
        )

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "Trajectory":
        """The same pass with `change` applied to the states of every site."""
        return replace(self, states=tuple(change(s) for s in self.states))

    def batch(self, options: Options = QUICK) -> Batch:
        return Batch(self.ids, self.real, self.special, self.sites, options)


def trajectory(
    n: int = 6,
    t: int = 14,
    d: int = 12,
    blocks: int = 3,
    seed: int = 0,
    lengths: Sequence[int] | None = None,
    specials: int = 0,
    size: float = 1.0,
    step: float = 0.5,
    shared: float = 0.6,
    ids: Sequence[int] | None = None,
) -> Trajectory:
    """A residual stream that walks by `step` a block from correlated tokens; the last site is normed.

    Args:
        lengths: real tokens of each example; random garbage stands at the padding.
        specials: how many tokens at the front of each example are special.
        size: what every state is multiplied with.
        shared: the part of each state that all tokens of an example share.
    """
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    state = normal(n, t, d) + shared * normal(n, 1, d)
    states = [state]
    for _ in range(blocks):
        state = state + step * (normal(n, t, d) + shared * normal(n, 1, d))
        states.append(state)
    states.append(state / state.square().mean(-1, keepdim=True).sqrt())
    real = torch.arange(t) < torch.tensor(lengths if lengths is not None else [t] * n)[:, None]
    made = Trajectory(
        sites_for(blocks),
        tuple(size * s for s in states),
        real,
        real & (torch.arange(t) < specials),
        tuple(ids if ids is not None else range(n)),
    )
    return fill_padding(made, 1e4 * normal(n, t, d))


def fill_padding(made: Trajectory, garbage: Tensor | float) -> Trajectory:
    """Something else at the places that hold padding."""
    return made.mapped(lambda s: torch.where(made.real[..., None], s, torch.as_tensor(garbage, dtype=s.dtype)))


def plant_sink(made: Trajectory, norm: float, token: int = 0) -> Trajectory:
    """One token of each example becomes the same row of this norm, at every site and in every example."""
    row = _direction(made) * norm
    return made.mapped(lambda s: torch.where(torch.arange(s.shape[1])[:, None] == token, row, s))


def add_sink(made: Trajectory, norm: float, token: int, sites: Sequence[int]) -> Trajectory:
    """A vector of this norm added to one token of each example at these sites, as massive activations come and go."""
    changed = [s.clone() for s in made.states]
    for site in sites:
        changed[site][:, token] += _direction(made) * norm
    return replace(made, states=tuple(changed))


def _direction(made: Trajectory) -> Tensor:
    row = torch.randn(made.states[0].shape[-1], generator=torch.Generator().manual_seed(99))
    return row / row.norm()


def plant_offset(made: Trajectory, size: float, feature: int | None = None) -> Trajectory:
    """The same vector of this norm added to every token: in one feature, or spread over all of them."""
    width = made.states[0].shape[-1]
    offset = _direction(made) if feature is None else torch.eye(width)[feature]
    return made.mapped(lambda s: s + size * offset)


def run(
    made: Trajectory,
    metrics: Sequence[str] = EVERYTHING,
    options: Options = QUICK,
    splits: Sequence[Sequence[int]] | None = None,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """States by metric name after a pass over all examples, as one batch or as these batches merged in turn."""
    if splits is None:
        return _pass(made, metrics, options, calibration)
    parts = [_pass(made.take(rows), metrics, options, calibration) for rows in splits]
    return reduce(merge, parts)


def _pass(
    made: Trajectory, metrics: Sequence[str], options: Options, calibration: Calibration | None
) -> dict[str, Any]:
    session = Session(named(metrics), made.batch(options), calibration)
    for site, states in zip(made.sites, made.states, strict=True):
        session.see(site, states)
    return session.finish()


def outcome(state: Any, options: Options = QUICK) -> list[Tensor]:
    """What a state says, whatever its kind: values with their replicates, and counts, as float64 tensors."""
    match state:
        case Means():
            return [state.value(), state.count.double()]
        case HsicSums():
            return [state.value(), state.count.double(), state.skipped.double(), state.weight]
        case Grams():
            found = example_cka(state, options.seed, options.replicates)
            return [found.value, torch.tensor([found.units, found.blocks, found.left_out]).double()]
        case GramBank():
            return [state.ids.double(), state.grams.double(), state.keep.double()]
        case Course():
            return [state.values, state.ids.double()]
        case Counts():
            return [torch.tensor(state.examples).double(), state.tokens.double()]
        case _:
            raise AssertionError(f"tell `outcome` how to read {type(state).__name__}")


def assert_same(a: dict[str, Any], b: dict[str, Any], rtol: float = 1e-10, atol: float = 1e-12) -> None:
    """Two runs say the same, NaN where the other has NaN."""
    assert a.keys() == b.keys()
    for name in a:
        for left, right in zip(outcome(a[name]), outcome(b[name]), strict=True):
            torch.testing.assert_close(
                left, right, rtol=rtol, atol=atol, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}"
            )


def estimates(states: dict[str, Any], name: str) -> Tensor:
    """The run values of a metric: [site, variant, policy], path cells [cell, policy], or pairs [.., site, site]."""
    state = states[name]
    match state:
        case Means():
            return state.value()[..., 0]
        case HsicSums():
            return state.value()[:, 0]
        case Grams():
            return example_cka(state, 0, 0).value[0]
        case _:
            raise AssertionError(f"{name} has no run value")
