"""The scan of Mamba-2 in matrix form, and its short convolution, for a CPU; the same values as transformers' own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def chunk_scan(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    chunk_size: int,
    D: Tensor | None = None,
    dt_bias: Tensor | None = None,
    initial_states: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = (0.0, float("inf")),
    return_final_states: bool = False,
    **_: Any,
) -> Any:
    """The output [batch, length, heads, width] of the state-space recurrence, and where asked for the last state.

    hidden_states [batch, length, heads, width], dt [batch, length, heads], A and D [heads], B and C [batch, length,
    groups, states]. Heads of a group share the product of C and B, and a length within one chunk needs no states.
    Source: Dao and Gu 2024 (arXiv:2405.21060), section 6.
    """
    n, length, heads, width = hidden_states.shape
    groups = B.shape[2]
    dt = dt if dt_bias is None else dt + dt_bias
    dt = (F.softplus(dt) if dt_softplus else dt).float()
    if dt_limit != (0.0, float("inf")):
        dt = dt.clamp(*dt_limit)
    size = min(chunk_size, length)
    chunks = -(-length // size)
    short = chunks * size - length

    def cut(x: Tensor, by_groups: bool = False) -> Tensor:
        """[batch, length, heads, ...] -> [batch, chunks, groups, heads of a group, size, ...]."""
        x = F.pad(x.float(), (0, 0) * (x.ndim - 2) + (0, short)) if short else x.float()
        kept = (groups, 1) if by_groups else (groups, heads // groups)
        x = x.view(n, chunks, size, *kept, *x.shape[3:])
        return x.permute(0, 1, 3, 4, 2, *range(5, x.ndim))

    x, step, b, c = cut(hidden_states * dt[..., None]), cut(dt), cut(B, True), cut(C, True)
    decay = (step * A.float().view(groups, -1, 1)).cumsum(-1)
    within = torch.exp((decay[..., :, None] - decay[..., None, :]).masked_fill(_later(size, x.device), float("-inf")))
    y = (c @ b.mT * within) @ x
    if chunks > 1 or initial_states is not None or return_final_states:
        left = torch.exp(decay[..., -1:] - decay)
        gained = (x * left[..., None]).mT @ b
        state = (
            torch.zeros_like(gained[:, 0]) if initial_states is None else initial_states.float().view_as(gained[:, 0])
        )
        before = []
        for chunk in range(chunks):
            before.append(state)
            state = state * torch.exp(decay[:, chunk, ..., -1, None, None]) + gained[:, chunk]
        y = y + (c @ torch.stack(before, 1).mT) * torch.exp(decay)[..., None]
    y = y.permute(0, 1, 4, 2, 3, 5).reshape(n, chunks * size, heads, width)[:, :length]
    if D is not None:
        y = y + hidden_states * D.view(heads, -1)
    if not return_final_states:
        return y
    return y, state.view(n, heads, width, -1)


def _later(size: int, device: torch.device) -> Tensor:
    return torch.ones(size, size, dtype=torch.bool, device=device).triu(1)
