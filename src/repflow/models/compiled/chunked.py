"""Mamba-2's scan in chunks of matrix products, compiled by numba for a CPU, forward and backward.

Within a chunk, with u = dt x, d the sum of the decays dt A up to a token, and S the state before the chunk:

    y_i = sum_{j <= i} exp(d_i - d_j) (C_i . B_j) u_j + exp(d_i) C_i S + D x_i
    S' = exp(d_last) S + sum_j exp(d_last - d_j) B_j u_j

Everything of a chunk fits the caches. Source: Dao and Gu 2024 (arXiv:2405.21060), section 6.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor


class ChunkScan(torch.autograd.Function):
    """y [batch, length, heads, width] from x of that shape, dt [batch, length, heads], A and D [heads] and B and C
    [batch, length, groups, states]; float32, from an empty state. `size` tokens are a chunk."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, size: int) -> Tensor:
        held = [tensor.detach().float().contiguous() for tensor in (x, dt, a, b, c, d)]
        n, length, heads, width = x.shape
        chunks = -(-length // size)
        states = torch.empty(n, chunks, heads, b.shape[3], width)
        y = torch.empty(n, length, heads, width)
        _loops()[0](*map(_array, held), size, _array(states), _array(y))
        ctx.save_for_backward(*held, states)
        ctx.size = size
        return y

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        *held, states = ctx.saved_tensors
        grads = [torch.zeros_like(tensor) for tensor in held]
        # Sums of very many terms.
        grads[2], grads[5] = grads[2].double(), grads[5].double()
        arrays = [*map(_array, held), ctx.size, _array(states), _array(grad.contiguous()), *map(_array, grads)]
        _loops()[1](*arrays)
        return (*(g.float() for g in grads), None)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


@cache
def _loops() -> tuple[Any, Any]:
    """The scan and its backward pass, compiled on first use."""
    import numba

    compiled = numba.njit(fastmath={"contract", "reassoc", "nsz", "arcp"}, cache=True, error_model="numpy")

    @compiled
    def decays(dt: Any, a: float, grown: Any, left: Any, within: Any) -> Any:
        """Of a chunk and head: exp(d_i), exp(d_last - d_i) and, for j <= i, exp(d_i - d_j); returns exp(d_last)."""
        n = dt.shape[0]
        product = np.float32(1.0)
        for i in range(n):
            factor = np.exp(dt[i] * a)
            product *= factor
            grown[i] = product
            for j in range(i):
                within[i, j] = within[i - 1, j] * factor
            within[i, i] = 1.0
        for i in range(n):
            left[i] = within[n - 1, i]
        return product

    @compiled
    def forward(x: Any, dt: Any, a: Any, b: Any, c: Any, d: Any, size: int, states: Any, y: Any) -> None:
        batch, length, heads, width = x.shape
        groups, n_states = b.shape[2], b.shape[3]
        each = heads // groups
        within = np.empty((size, size), np.float32)
        for row in range(batch):
            for group in range(groups):
                for chunk in range(states.shape[1]):
                    first = chunk * size
                    n = min(size, length - first)
                    keys = np.ascontiguousarray(b[row, first : first + n, group])
                    asks = np.ascontiguousarray(c[row, first : first + n, group])
                    scores = np.dot(asks, keys.T)
                    for head in range(group * each, (group + 1) * each):
                        grown, left = np.empty(n, np.float32), np.empty(n, np.float32)
                        step = dt[row, first : first + n, head]
                        whole = decays(step, a[head], grown, left, within)
                        mixed = np.zeros((n, n), np.float32)
                        u = np.empty((n, width), np.float32)
                        for i in range(n):
                            for j in range(i + 1):
                                mixed[i, j] = scores[i, j] * within[i, j]
                            for p in range(width):
                                u[i, p] = x[row, first + i, head, p] * step[i]
                        out = np.dot(mixed, u)
                        for i in range(n):
                            for p in range(width):
                                y[row, first + i, head, p] = out[i, p] + d[head] * x[row, first + i, head, p]
                        if chunk > 0:
                            out = np.dot(asks, states[row, chunk, head])
                            for i in range(n):
                                for p in range(width):
                                    y[row, first + i, head, p] += grown[i] * out[i, p]
                        if chunk + 1 == states.shape[1]:
                            continue
                        weighed = np.empty((n, n_states), np.float32)
                        for i in range(n):
                            for s in range(n_states):
                                weighed[i, s] = keys[i, s] * left[i]
                        state = np.dot(weighed.T, u)
                        for s in range(n_states):
                            for p in range(width):
                                kept = states[row, chunk, head, s, p] * whole if chunk > 0 else np.float32(0.0)
                                states[row, chunk + 1, head, s, p] = kept + state[s, p]

    @compiled
    def backward(
        x: Any, dt: Any, a: Any, b: Any, c: Any, d: Any, size: int, states: Any, grad: Any,
        of_x: Any, of_dt: Any, of_a: Any, of_b: Any, of_c: Any, of_d: Any,
    ) -> None:  # fmt: skip
        batch, length, heads, width = x.shape
        groups, n_states = b.shape[2], b.shape[3]
        each = heads // groups
        chunks = states.shape[1]
        within = np.empty((size, size), np.float32)
        for row in range(batch):
            for group in range(groups):
                later = np.zeros((each, n_states, width), np.float32)
                for back in range(chunks):
                    chunk = chunks - 1 - back
                    first = chunk * size
                    n = min(size, length - first)
                    keys = np.ascontiguousarray(b[row, first : first + n, group])
                    asks = np.ascontiguousarray(c[row, first : first + n, group])
                    scores = np.dot(asks, keys.T)
                    of_scores = np.zeros((n, n), np.float32)
                    for head in range(group * each, (group + 1) * each):
                        grown, left = np.empty(n, np.float32), np.empty(n, np.float32)
                        step = dt[row, first : first + n, head]
                        whole = decays(step, a[head], grown, left, within)
                        mixed = np.zeros((n, n), np.float32)
                        u, g = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
                        skipped = np.float32(0.0)
                        for i in range(n):
                            for j in range(i + 1):
                                mixed[i, j] = scores[i, j] * within[i, j]
                            for p in range(width):
                                u[i, p] = x[row, first + i, head, p] * step[i]
                                g[i, p] = grad[row, first + i, head, p]
                                skipped += g[i, p] * x[row, first + i, head, p]
                        of_d[head] += skipped
                        of_mixed = np.dot(g, u.T)
                        of_u = np.dot(mixed.T, g)
                        of_decay = np.zeros(n, np.float32)
                        for i in range(n):
                            total = np.float32(0.0)
                            for j in range(i + 1):
                                of_scores[i, j] += of_mixed[i, j] * within[i, j]
                                both = of_mixed[i, j] * mixed[i, j]
                                total += both
                                of_decay[j] -= both
                            of_decay[i] += total
                        after = later[head - group * each]
                        if chunk + 1 < chunks:
                            weighed = np.empty((n, n_states), np.float32)
                            for i in range(n):
                                for s in range(n_states):
                                    weighed[i, s] = keys[i, s] * left[i]
                            more = np.dot(weighed, after)
                            of_keys = np.dot(u, after.T)
                            of_last = np.float32(0.0)
                            for i in range(n):
                                total = np.float32(0.0)
                                for p in range(width):
                                    of_u[i, p] += more[i, p]
                                    total += more[i, p] * u[i, p]
                                of_decay[i] -= total
                                of_last += total
                                for s in range(n_states):
                                    of_b[row, first + i, group, s] += left[i] * of_keys[i, s]
                            if chunk > 0:
                                total = np.float32(0.0)
                                for s in range(n_states):
                                    for p in range(width):
                                        total += states[row, chunk, head, s, p] * after[s, p]
                                of_last += total * whole
                            of_decay[n - 1] += of_last
                        if chunk > 0:
                            state = states[row, chunk, head]
                            for i in range(n):
                                for p in range(width):
                                    g[i, p] *= grown[i]
                            of_asks = np.dot(g, state.T)
                            gained = np.dot(asks.T, g)
                            for i in range(n):
                                total = np.float32(0.0)
                                for s in range(n_states):
                                    of_c[row, first + i, group, s] += of_asks[i, s]
                                    total += of_asks[i, s] * asks[i, s]
                                of_decay[i] += total
                            for s in range(n_states):
                                for p in range(width):
                                    after[s, p] = after[s, p] * whole + gained[s, p]
                        total = np.float32(0.0)
                        for back_i in range(n):
                            i = n - 1 - back_i
                            total += of_decay[i]
                            through = total * a[head]
                            of_a[head] += total * step[i]
                            for p in range(width):
                                through += of_u[i, p] * x[row, first + i, head, p]
                                of_x[row, first + i, head, p] = (
                                    of_u[i, p] * step[i] + d[head] * grad[row, first + i, head, p]
                                )
                            of_dt[row, first + i, head] = through
                    of_asks = np.dot(of_scores, keys)
                    of_keys = np.dot(of_scores.T, asks)
                    for i in range(n):
                        for s in range(n_states):
                            of_c[row, first + i, group, s] += of_asks[i, s]
                            of_b[row, first + i, group, s] += of_keys[i, s]

    return forward, backward
