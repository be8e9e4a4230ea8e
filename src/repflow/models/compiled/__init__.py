"""Loops of state-space models that numba compiles for a CPU: the same values as transformers' own, in less time."""

import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]
SELECTIVE_SCAN = "mamba_selective_scan"
ALL = (SELECTIVE_SCAN, "mamba2_chunk_scan", "causal_conv1d_fn")
"""The functions in transformers' modules that have a compiled stand-in."""
_UNBOUNDED = (0.0, float("inf"))


def available() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


@contextmanager
def compiled_scans(model: Any, names: Collection[str] = ALL) -> Iterator[tuple[str, ...]]:
    """Inside, the mixers of this model and of others of its class scan and convolve by compiled loops.

    Only what is float32, on a CPU and begins with an empty state does so; all else takes transformers' own way.
    `names` limits it to these functions. Yields the names of those that were exchanged; none where numba is absent or
    the class has none.
    """
    modules = _modules(model) if available() else []
    found = [(module, name) for module in modules for name in names if hasattr(module, name)]
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


def _selective_scan(own: Function) -> Function:
    from repflow.models.compiled.selective import SelectiveScan

    @wraps(own)
    def scan(hidden_states: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, **options: Any) -> Any:
        D, z, bias = (options.get(name) for name in ("D", "z", "delta_bias"))
        simple = options.get("delta_softplus") and not options.get("return_last_state") and D is not None
        if not simple or not _plain(hidden_states, dt, A, B, C, D, z, bias):
            return own(hidden_states, dt, A, B, C, **options)
        step = torch.nn.functional.softplus(dt if bias is None else dt + bias[..., None])
        x, step, b, c = (tensor.transpose(1, 2) for tensor in (hidden_states, step, B, C))
        y = SelectiveScan.apply(x, step, A, b, c, D).transpose(1, 2)
        return y if z is None else y * torch.nn.functional.silu(z)

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
    SELECTIVE_SCAN: _selective_scan,
    "causal_conv1d_fn": _convolution,
}
"""What makes a function that stands in for each."""
