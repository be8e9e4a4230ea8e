"""Loops that numba compiles for a CPU: the short convolution before a state-space scan, forward and backward."""

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def causal_conv(
    hidden_states: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None, **_: Any
) -> Tensor:
    """A causal convolution of every channel by itself: [batch, channels, length] from weight [channels, taps].

    The same as transformers' `causal_conv1d_fn`, float32 on a CPU, many times faster in the backward pass.
    """
    from transformers.activations import ACT2FN

    out = _Convolution.apply(hidden_states.transpose(1, 2), weight.t(), bias)
    out = F.silu(out) if activation == "silu" else ACT2FN[activation](out) if activation else out
    return out.transpose(1, 2)


class _Convolution(torch.autograd.Function):
    """x [batch, length, channels], weight [taps, channels], bias [channels]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        out = torch.empty_like(x)
        start = torch.zeros(x.shape[-1]) if bias is None else bias.detach()
        _loops()[0](_array(x), _array(weight), _array(start), _array(out))
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        (grad,) = grad_outputs
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        of_x, of_weight = torch.empty_like(x), torch.zeros_like(weight)
        _loops()[1](_array(x), _array(weight), _array(grad), _array(of_x), _array(of_weight))
        return of_x, of_weight, grad.sum((0, 1)) if ctx.biased else None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


@cache
def _loops() -> tuple[Any, Any]:
    """The convolution and its backward pass, compiled on first use."""
    import numba

    @numba.njit(fastmath=True, cache=True)
    def forward(x: Any, weight: Any, bias: Any, out: Any) -> None:
        batch, length, channels = x.shape
        taps = weight.shape[0]
        for b in range(batch):
            for t in range(length):
                for c in range(channels):
                    out[b, t, c] = bias[c]
                for k in range(max(0, taps - 1 - t), taps):
                    for c in range(channels):
                        out[b, t, c] += weight[k, c] * x[b, t - taps + 1 + k, c]

    @numba.njit(fastmath=True, cache=True)
    def backward(x: Any, weight: Any, grad: Any, of_x: Any, of_weight: Any) -> None:
        batch, length, channels = x.shape
        taps = weight.shape[0]
        for b in range(batch):
            for t in range(length):
                for c in range(channels):
                    of_x[b, t, c] = 0.0
                for k in range(max(0, taps - length + t), taps):
                    for c in range(channels):
                        of_x[b, t, c] += weight[k, c] * grad[b, t + taps - 1 - k, c]
                for k in range(max(0, taps - 1 - t), taps):
                    for c in range(channels):
                        of_weight[k, c] += grad[b, t, c] * x[b, t - taps + 1 + k, c]

    return forward, backward
