"""One site's states for one batch, with the quantities that several metrics share computed once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from repflow.core import Site
from repflow.metrics.batch import Batch
from repflow.metrics.calibration import Calibration
from repflow.metrics.tensors import row_dot, row_norm

ROUNDING = 1e-6
"""States that differ by less than this share of their norm differ by rounding."""


class Rooms:
    """Buffers kept from site to site and batch to batch: fresh memory costs more than the arithmetic done in it."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[str, int], Tensor] = {}

    def room(self, name: str, turn: int, shape: Sequence[int], like: Tensor) -> Tensor:
        """Room for float32 numbers on the device of `like`; the one of a name is taken again two turns later."""
        key, size = (name, turn % 2), math.prod(shape)
        if key not in self._rooms or self._rooms[key].numel() < size:
            self._rooms[key] = torch.empty(size, dtype=torch.float32, device=like.device)
        return self._rooms[key][:size].view(*shape)

    def states(self, name: str, turn: int, like: Float[Tensor, "n t d"]) -> Float32[Tensor, "n t d"]:
        """Room for states like `like`."""
        return self.room(name, turn, like.shape, like)


@dataclass(frozen=True)
class Rows:
    """States of another variant, and their norms."""

    states: Float32[Tensor, "n t d"]
    norm: Float32[Tensor, "n t"]


@dataclass
class SiteView:
    """Residual-stream states at a site. Everything derived is lazy, on the states' device, and never synchronises."""

    site: Site
    states: Float32[Tensor, "n t d"]
    batch: Batch
    previous: "SiteView | None" = None
    """The site before; None at the first."""
    calibration: Calibration | None = None
    rooms: Rooms = field(default_factory=Rooms)
    turn: int = 0
    """How many sites came before. What is derived of size [n, t, d] stays until two sites later, not longer."""
    shared: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Results that more than one metric reads."""

    def release(self) -> None:
        """Forget the site before and what was derived from it, so that its states can be freed."""
        self.previous = None
        self.shared.clear()
        for name in ("gram", "gram_keep", "step"):
            self.__dict__.pop(name, None)

    @cached_property
    def norm(self) -> Float32[Tensor, "n t"]:
        """Euclidean norm of each token's state."""
        return row_norm(self.states)

    @cached_property
    def keep(self) -> Bool[Tensor, "p n t"]:
        """Which tokens count here, by policy."""
        return torch.stack([self._counted(policy) for policy in self.batch.options.policies])

    @cached_property
    def no_sink(self) -> Bool[Tensor, "n t"]:
        """Real, not special, and of a norm within `sink_factor` medians of the real tokens' norms."""
        bound = self.batch.options.sink_factor * masked_median(self.norm, self.batch.real)
        return self.batch.plain & (self.norm <= bound[:, None])

    @cached_property
    def step(self) -> Float32[Tensor, "n t d"]:
        """States here minus states at the site before."""
        return torch.sub(self.states, self.before.states, out=self.rooms.states("step", self.turn, self.states))

    @cached_property
    def step_norm(self) -> Float32[Tensor, "n t"]:
        return row_norm(self.step)

    @cached_property
    def step_dot_previous(self) -> Float32[Tensor, "n t"]:
        """Inner product of the step with the state it starts from."""
        return row_dot(self.step, self.before.states)

    @cached_property
    def offset_free(self) -> "dict[str, Rows]":
        """States without what the calibration set's tokens share, by variant; empty without a calibration set.

        `centred`: its mean taken off. `standardised`: then each feature divided by its spread.
        """
        if self.calibration is None:
            return {}
        mean, inverse = self.calibration.at(self.site.index)
        centred = torch.sub(self.states, mean, out=self.rooms.states("centred", self.turn, self.states))
        scaled = torch.mul(centred, inverse, out=self.rooms.states("standardised", self.turn, self.states))
        return {name: Rows(rows, row_norm(rows)) for name, rows in (("centred", centred), ("standardised", scaled))}

    @cached_property
    def sum_of_units(self) -> Float32[Tensor, "n p d"]:
        """The sum of the counted tokens' unit vectors, by policy."""
        return unit_weights(self.norm, self.keep) @ self.states

    @cached_property
    def gram(self) -> "Gram":
        """Inner products of the sampled tokens."""
        return gram_of(self.states, self.norm, *self.batch.gram_index, self.rooms)

    @cached_property
    def gram_keep(self) -> Bool[Tensor, "p n m"]:
        """Which rows of `gram` count here, by policy."""
        return gather_rows(self.keep, *self.batch.gram_index)

    @property
    def before(self) -> "SiteView":
        assert self.previous is not None, f"{self.site.name} has no site before it"
        return self.previous

    def _counted(self, policy: str) -> Bool[Tensor, "n t"]:
        if policy == "all":
            return self.batch.real
        return self.no_sink if policy == "no_sink" else self.batch.plain


@dataclass(frozen=True)
class Gram:
    """Inner products of m rows about a centre c: centred[i, j] = (x_i - c)(x_j - c)."""

    centred: Float32[Tensor, "n m m"]
    to_centre: Float32[Tensor, "n m"]
    """(x_i - c) . c"""
    centre_square: Float32[Tensor, " n"]

    def raw(self) -> Float32[Tensor, "n m m"]:
        """x_i . x_j"""
        return self.centred + self.to_centre[:, :, None] + (self.to_centre + self.centre_square[:, None])[:, None, :]


def gram_of(
    states: Float32[Tensor, "n t d"],
    norm: Float32[Tensor, "n t"],
    index: Int64[Tensor, "n m"],
    valid: Bool[Tensor, "n m"],
    rooms: Rooms,
) -> Gram:
    """Gram matrices of the rows named by `index`; rows that are not `valid` count as the centre.

    The centre is the mean of the rows of ordinary norm, reached by way of the row of median norm: so float32 keeps
    its digits beside a token of huge norm and under an offset that all share, and rows that are alike give exactly 0.
    """
    sampled = torch.where(valid, norm.gather(1, index), torch.nan)
    median = sampled.nanmedian(1)
    ordinary = (sampled <= 10.0 * median.values[:, None]).float()
    n, t, d = states.shape
    flat = (index + torch.arange(n, device=index.device)[:, None] * t).flatten()
    room = rooms.room("rows", 0, (len(flat), d), states)
    rows = torch.index_select(states.view(n * t, d), 0, flat, out=room).view(*index.shape, d)
    anchor = rows[torch.arange(n, device=rows.device), median.indices]
    rows -= anchor[:, None]
    rows *= (beyond_rounding(rows, sampled) & valid)[..., None]
    shift = (ordinary[:, None] @ rows) / ordinary.sum(1).clamp(min=1.0)[:, None, None]
    rows.addcmul_(valid[..., None].float(), shift, value=-1.0)
    centre = anchor + shift[:, 0]
    return Gram(
        centred=_self_products(rows),
        to_centre=(rows @ centre[..., None])[..., 0],
        centre_square=centre.square().sum(-1),
    )


def _self_products(rows: Float32[Tensor, "n m d"]) -> Float32[Tensor, "n m m"]:
    """rows @ rows.mT, the block above the diagonal computed once: a quarter of the work saved."""
    m = rows.shape[1]
    upper, lower = rows[:, : m // 2], rows[:, m // 2 :]
    products = rows.new_empty(len(rows), m, m)
    products[:, : m // 2, : m // 2] = upper @ upper.mT
    products[:, m // 2 :, m // 2 :] = lower @ lower.mT
    across = upper @ lower.mT
    products[:, : m // 2, m // 2 :] = across
    products[:, m // 2 :, : m // 2] = across.mT
    return products


def beyond_rounding(differences: Float32[Tensor, "*n d"], norm: Float32[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
    """Whether float32 can tell apart two states of that norm with this difference."""
    return row_norm(differences) > ROUNDING * norm


def masked_median(values: Float[Tensor, "*n t"], keep: Bool[Tensor, "*n t"]) -> Float[Tensor, "*n"]:
    """Median over counted tokens (the mean of the middle two where their number is even); NaN where there is none."""
    counted = torch.where(keep, values, torch.nan)
    return (counted.nanmedian(-1).values - (-counted).nanmedian(-1).values) / 2


def unit_weights(norm: Float32[Tensor, "n t"], keep: Bool[Tensor, "p n t"]) -> Float32[Tensor, "n p t"]:
    """1/norm at counted tokens with a direction, 0 elsewhere: states weighted so are unit rows."""
    return torch.where(keep & (norm > 0), norm.reciprocal(), 0.0).transpose(0, 1)


def gather_rows(
    keep: Bool[Tensor, "*p n t"], index: Int64[Tensor, "n m"], valid: Bool[Tensor, "n m"]
) -> Bool[Tensor, "*p n m"]:
    """Which of the rows named by `index` are counted."""
    return keep.gather(-1, index.expand(*keep.shape[:-2], -1, -1)) & valid
