"""Loops of state-space models that numba compiles for a CPU: the same values as transformers' own, in less time."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]
_UNBOUNDED = (0.0, float("inf"))


def available() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


@contextmanager
def compiled_scans(model: Any) -> Iterator[tuple[str, ...]]:
    """Inside, the mixers of this model and of others of its class scan and convolve by compiled loops.

    Only what is float32, on a CPU and begins with an empty state does so; all else takes transformers' own way. Yields
    the names of the functions that were exchanged; none where numba is absent or the class has none.
    """
    found = [(module, name) for module in _modules(model) for name in _EXCHANGED if hasattr(module, name)]
    found = found if available() else []
    own = [getattr(module, name) for module, name in found]
    for (module, name), function in zip(found, own, strict=True):
        setattr(module, name, _EXCHANGED[name](function))
    try:
        yield tuple(sorted({name for _, name in found}))
    finally:
        for (module, name), function in zip(found, own, strict=True):
            setattr(module, name, function)


def _modules(model: Any) -> list[Any]:
    """The modules of Python that this model's classes are from, transformers' alone."""
    names = sorted({type(part).__module__ for part in model.modules()})
    return [sys.modules[name] for name in names if name.startswith("transformers.models.")]


def _plain(*tensors: Tensor | None) -> bool:
    return all(t is None or (t.dtype == torch.float32 and t.device.type == "cpu") for t in tensors)


def _chunk_scan(own: Function) -> Function:
    from repflow.models.compiled.chunked import ChunkScan

    @wraps(own)
    def scan(
        hidden_states: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk_size: int, **options: Any
    ) -> Any:
        D, bias = options.get("D"), options.get("dt_bias")
        simple = (
            options.get("initial_states") is None
            and not options.get("return_final_states")
            and tuple(options.get("dt_limit", _UNBOUNDED)) == _UNBOUNDED
        )
        if not simple or D is None or not _plain(hidden_states, dt, A, B, C, D, bias):
            return own(hidden_states, dt, A, B, C, chunk_size, **options)
        step = dt if bias is None else dt + bias
        step = torch.nn.functional.softplus(step) if options.get("dt_softplus") else step
        return ChunkScan.apply(hidden_states, step, A, B, C, D, chunk_size)

    return scan


def _convolution(own: Function) -> Function:
    from repflow.models.compiled.convolution import causal_conv

    @wraps(own)
    def convolve(hidden_states: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Tensor:
        way = causal_conv if _plain(hidden_states, weight, bias) else own
        return way(hidden_states, weight, bias, **options)

    return convolve


_EXCHANGED: dict[str, Callable[[Function], Function]] = {
    "mamba2_chunk_scan": _chunk_scan,
    "causal_conv1d_fn": _convolution,
}
"""Names in transformers' modules, and what makes a function to stand in for each."""
