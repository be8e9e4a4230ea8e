"""Mamba's selective scan, compiled by numba for a CPU, forward and backward.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t        y_t = C_t . h_t + D x_t

with a state of its own for every channel. Source: Gu and Dao 2023 (arXiv:2312.00752), section 3.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BLOCK = 32
"""Tokens between two states that the backward pass begins from; those between it computes again."""


class SelectiveScan(torch.autograd.Function):
    """y [batch, length, channels] from x and dt of that shape, A [channels, states], B and C [batch, length, states]
    and D [channels]; float32, from an empty state."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        held = [tensor.detach().contiguous() for tensor in (x, dt, a, b, c, d)]
        n, length, channels = x.shape
        states = torch.empty(n, -(-length // _BLOCK), channels, a.shape[1])
        y = torch.empty(n, length, channels)
        _loops()[0](*map(_array, held), _array(states), _array(y))
        ctx.save_for_backward(*held, states)
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, ...]:
        (grad,) = grad_outputs
        *held, states = ctx.saved_tensors
        grads = [torch.zeros_like(tensor) for tensor in held]
        _loops()[1](*map(_array, held), _array(states), _array(grad.contiguous()), *map(_array, grads))
        return tuple(grads)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _powers() -> np.ndarray:
    """2^0, 2^-1, ..., and 0 for what float32 does not hold."""
    return np.concatenate([2.0 ** -np.arange(127), [0.0]]).astype(np.float32)


@cache
def _loops() -> tuple[Any, Any]:
    """The scan and its backward pass, compiled on first use."""
    import numba

    compiled = numba.njit(fastmath={"contract", "reassoc", "nsz", "arcp"}, cache=True, error_model="numpy")
    powers = _powers()
    log2e, ln2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
    one, half = np.float32(1), np.float32(0.5)
    c3, c4, c5, c6 = (np.float32(1 / f) for f in (6, 24, 120, 720))

    @compiled
    def decays(step: Any, a: Any, out: Any) -> None:
        """exp(step A) for a step above 0 and A below: a power of 2 from a table times a polynomial, in vectors."""
        for s in range(a.shape[0]):
            z = min(-step * a[s] * log2e, np.float32(127.0))
            # What is not a number stays one, and never becomes a place outside the table.
            whole = max(np.int32(0), min(np.int32(127), np.int32(z + half)))
            f = (np.float32(whole) - z) * ln2
            near = one + f * (one + f * (half + f * (c3 + f * (c4 + f * (c5 + f * c6)))))
            out[s] = near * powers[whole]

    @compiled
    def forward(x: Any, dt: Any, a: Any, b: Any, c: Any, d: Any, states: Any, y: Any) -> None:
        batch, length, channels = x.shape
        n_states = a.shape[1]
        decay = np.empty(n_states, np.float32)
        for row in range(batch):
            state = np.zeros((channels, n_states), np.float32)
            for t in range(length):
                if t % _BLOCK == 0:
                    states[row, t // _BLOCK] = state
                for channel in range(channels):
                    step = dt[row, t, channel]
                    decays(step, a[channel], decay)
                    gain = step * x[row, t, channel]
                    total = np.float32(0.0)
                    for s in range(n_states):
                        h = decay[s] * state[channel, s] + gain * b[row, t, s]
                        state[channel, s] = h
                        total += h * c[row, t, s]
                    y[row, t, channel] = total + d[channel] * x[row, t, channel]

    @compiled
    def backward(
        x: Any, dt: Any, a: Any, b: Any, c: Any, d: Any, states: Any, grad: Any,
        of_x: Any, of_dt: Any, of_a: Any, of_b: Any, of_c: Any, of_d: Any,
    ) -> None:  # fmt: skip
        batch, length, channels = x.shape
        n_states = a.shape[1]
        decay = np.empty((_BLOCK, n_states), np.float32)
        held = np.empty((_BLOCK + 1, n_states), np.float32)
        for row in range(batch):
            later = np.zeros((channels, n_states), np.float32)
            for back in range(states.shape[1]):
                block = states.shape[1] - 1 - back
                first = block * _BLOCK
                n = min(_BLOCK, length - first)
                for channel in range(channels):
                    held[0] = states[row, block, channel]
                    for i in range(n):
                        step = dt[row, first + i, channel]
                        decays(step, a[channel], decay[i])
                        gain = step * x[row, first + i, channel]
                        for s in range(n_states):
                            held[i + 1, s] = decay[i, s] * held[i, s] + gain * b[row, first + i, s]
                    for back_i in range(n):
                        i = n - 1 - back_i
                        t = first + i
                        g, value, step = grad[row, t, channel], x[row, t, channel], dt[row, t, channel]
                        through, inward = np.float32(0.0), np.float32(0.0)
                        for s in range(n_states):
                            of_c[row, t, s] += g * held[i + 1, s]
                            of_state = later[channel, s] + g * c[row, t, s]
                            inward += of_state * b[row, t, s]
                            of_b[row, t, s] += of_state * step * value
                            fading = of_state * decay[i, s]
                            later[channel, s] = fading
                            past = fading * held[i, s]
                            through += past * a[channel, s]
                            of_a[channel, s] += past * step
                        of_x[row, t, channel] = inward * step + g * d[channel]
                        of_dt[row, t, channel] = through + inward * value
                        of_d[channel] += g * value

    return forward, backward
