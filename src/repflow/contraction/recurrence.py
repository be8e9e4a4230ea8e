"""The recurrence of a state-space mixer, in one form for all kinds of mixer."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

STRIDE = 32
"""States are looked at every so many tokens: at the last token of each stretch."""


@dataclass(frozen=True, eq=False)
class Recurrence:
    """state_t = exp(-dt_t decay) * state_{t-1} + x_t key_t', over one batch, in float32.

    A unit is what has a time step of its own: a channel of Mamba or of an RG-LRU, a head of Mamba-2. Its state is a
    matrix [p, k], p = 1 but for Mamba-2, and its transition A_bar_t = exp(-dt_t decay) has s values: one for each
    k (Mamba) or one for all (s = 1). Discretisation: Gu & Dao 2023 (arXiv:2312.00752), Dao & Gu 2024 (2405.21060).
    """

    dt: Float32[Tensor, "n t u"]
    """Time steps, at least 0."""
    decay: Float32[Tensor, "u s"]
    """-A, at least 0."""
    x: Float32[Tensor, "n t u p"]
    """What enters the state, the time step multiplied in."""
    key: Float32[Tensor, "n t g k"]
    """B: where it enters, shared by the units of a group."""

    def input_norm(self) -> Float32[Tensor, "n t u"]:
        """||x_t key_t'||, the size of what enters a unit's state."""
        norms = self.key.norm(dim=-1).repeat_interleave(self.x.shape[2] // self.key.shape[2], dim=2)
        return self.x.norm(dim=-1) * norms


def states(
    recurrence: Recurrence, real: Bool[Tensor, "n t"]
) -> Iterator[tuple[Bool[Tensor, " n"], Float32[Tensor, "n u p k"]]]:
    """The states after every `STRIDE` tokens and after each example's last, and which examples still have tokens there.

    Each stretch is summed in closed form from the state before it, every exponent at most 0: as exact as the loop over
    tokens, without the loop. Takes room for [n, STRIDE, u, s] and [n, STRIDE, u, p] numbers.
    """
    (n, _, units, p), k = recurrence.x.shape, recurrence.key.shape[-1]
    state = recurrence.x.new_zeros(n, units, p, k)
    for begin in range(0, real.shape[1], STRIDE):
        stretch = slice(begin, begin + STRIDE)
        alive = real[:, stretch]
        state = _advanced(state, recurrence, stretch, alive)
        yield alive[:, 0], state


def _advanced(state: Tensor, of: Recurrence, stretch: slice, alive: Tensor) -> Tensor:
    """The states at the end of a stretch. Tokens that are not real leave them as they are."""
    time = torch.where(alive[..., None], of.dt[:, stretch], 0.0).cumsum(1)
    x = torch.where(alive[..., None, None], of.x[:, stretch], 0.0)
    key = torch.where(alive[..., None, None], of.key[:, stretch], 0.0)
    since = (time[:, -1:] - time).unsqueeze(-1)
    kept = torch.exp(-scaled(time[:, -1].unsqueeze(-1), of.decay)).unsqueeze(2)
    weight = torch.exp(-scaled(since, of.decay))
    if of.decay.shape[1] == 1:
        return kept * state + _outer(x * weight, key)
    per_unit = key.repeat_interleave(x.shape[2] // key.shape[2], dim=2)
    return kept * state + torch.einsum("ntuk,ntuk,ntup->nupk", weight, per_unit, x)


def scaled(time: Tensor, decay: Tensor) -> Tensor:
    """time * decay; nothing decays in no time, whatever the decay."""
    return torch.where(time > 0, time * decay, 0.0)


def _outer(x: Tensor, key: Tensor) -> Tensor:
    """Sum over tokens of x_t key_t', units by their groups."""
    n, t, units, p = x.shape
    groups, k = key.shape[2:]
    grouped = torch.einsum("ntgup,ntgk->ngupk", x.view(n, t, groups, units // groups, p), key)
    return grouped.reshape(n, units, p, k)
