"""The recurrence of a state-space mixer, in one form for all kinds of mixer."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

_STRETCH = 32
"""Tokens whose transitions are computed at once."""


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
    """The states after every token, and which examples have that token.

    One step a token, as the recurrence says, in one buffer: copy what is to be kept. Takes room for 32 tokens'
    transitions [n, 32, u, s] and for one state [n, u, p, k].
    """
    (n, tokens, units, p), k = recurrence.x.shape, recurrence.key.shape[-1]
    state = recurrence.x.new_zeros(n, units, p, k)
    repeat = units // recurrence.key.shape[2]
    for begin in range(0, tokens, _STRETCH):
        time = recurrence.dt[:, begin : begin + _STRETCH, :, None]
        kept = torch.exp(-scaled(time, recurrence.decay)).unsqueeze(3)
        for i in range(kept.shape[1]):
            token = begin + i
            key = recurrence.key[:, token].repeat_interleave(repeat, dim=1)
            state.mul_(kept[:, i]).addcmul_(recurrence.x[:, token, :, :, None], key[:, :, None, :])
            yield real[:, token], state


def scaled(time: Tensor, decay: Tensor) -> Tensor:
    """time * decay; nothing decays in no time, whatever the decay."""
    return torch.where(time > 0, time * decay, 0.0)
